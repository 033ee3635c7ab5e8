//! `make bench`: what a login costs, beside the peers' of the same run.
//!
//! `bench DIRECTORY` measures and writes `results.md`, every single value as `results.csv`, and two
//! plots there; with `QUICK=1` in the environment it does so with few repetitions, in about a minute.
//! It ends with 0 also where a bound is missed: the table says so.
#![forbid(unsafe_code)]

mod bounds;
mod client;
mod crowds;
mod figures;
mod floor;
mod footprint;
mod ground;
mod growth;
mod logins;
mod plot;
mod refusals;
mod report;
mod resident;
mod run;

use std::fs;
use std::path::PathBuf;

use run::Run;

fn main() {
    // As in a verifier that stays: Argon2 gets its memory anew each time.
    mfa_sys::settle_malloc();
    let directory = std::env::args_os().nth(1).map(PathBuf::from).expect("a directory");
    let quick = std::env::var_os("QUICK").is_some_and(|value| value == "1");
    let run = Run::take(if quick { run::QUICK } else { run::FULL });
    let write = |name: &str, text: String| fs::write(directory.join(name), text).unwrap();
    fs::create_dir_all(&directory).unwrap();
    write("results.csv", run.figures.csv());
    write("results-light.svg", plot::svg(&run, &plot::LIGHT).unwrap());
    write("results-dark.svg", plot::svg(&run, &plot::DARK).unwrap());
    let page = report::markdown(&run, ("results-light.svg", "results-dark.svg"), "results.csv");
    print!("{page}");
    write("results.md", page);
}
