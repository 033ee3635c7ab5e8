//! An application that asks PAM and says how long that took; `bench` drives it, from outside of the
//! host that it runs in.
//!
//! Each line on standard input is a task, its words separated by tabs, and is answered by one line:
//! nanoseconds, and what PAM returned. A service is named by the path of its file.
//!
//! - `call SERVICE USER ANSWER`: `pam_start` to `pam_end` in this process.
//! - `process SERVICE USER ANSWER`: a process of this program, from its start to its end, which does
//!   the same.
//! - `crowd SERVICE USER ANSWER [USER ANSWER …]`: so many processes at their prompts, from the moment
//!   at which all may go on to the end of the last. What PAM returned to each.
//!
//! `pam-client` will not do for this: it has a snapshot taken of its process before and after, and
//! times `pam_authenticate` alone, where most applications load the modules anew for each login.

#[allow(dead_code, reason = "`pam-client` has more in it; unsafe code stands in one place")]
#[path = "../pam-client/ffi.rs"]
mod ffi;

use std::cell::Cell;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pipe};

use crate::ffi::{Function, PAM_CONV_ERR, Reply, Session};

/// What is said of a process that a signal ended.
const DIED: i32 = -1;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [service, user, answer] = &arguments[..] {
        let code = call(service, user, answer, &|| {});
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
    for line in io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split('\t').collect();
        let (took, codes) = match words[..] {
            ["call", service, user, answer] => in_process(service, user, answer),
            ["process", service, user, answer] => fresh_process(service, user, answer),
            ["crowd", service, ref people @ ..] => crowd(service, people),
            _ => panic!("not a task: {line}"),
        };
        let codes: Vec<String> = codes.iter().map(i32::to_string).collect();
        println!("{}\t{}", took.as_nanos(), codes.join("\t"));
    }
    ExitCode::SUCCESS
}

fn in_process(service: &str, user: &str, answer: &str) -> (Duration, Vec<i32>) {
    let since = Instant::now();
    let code = call(service, user, answer, &|| {});
    (since.elapsed(), vec![code])
}

fn fresh_process(service: &str, user: &str, answer: &str) -> (Duration, Vec<i32>) {
    let mut command = Command::new("/proc/self/exe");
    command.args([service, user, answer]).stdin(Stdio::null()).stdout(Stdio::null());
    let since = Instant::now();
    let status = command.status().unwrap();
    (since.elapsed(), vec![status.code().unwrap_or(DIED)])
}

fn crowd(service: &str, people: &[&str]) -> (Duration, Vec<i32>) {
    let (ready, at_prompt) = pipe().unwrap();
    let (start, hold) = pipe().unwrap();
    let mut hold = Some(hold);
    let pids: Vec<Pid> = people
        .chunks(2)
        .map(|person| match ffi::fork().expect("fork") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(hold.take());
                let announced = Cell::new(false);
                let announce = || {
                    if !announced.replace(true) {
                        nix::unistd::write(&at_prompt, b"x").unwrap();
                    }
                };
                let code = call(service, person[0], person[1], &|| {
                    announce();
                    let _ = File::from(start.try_clone().unwrap()).read(&mut [0]);
                });
                announce();
                ffi::exit_at_once(code);
            }
        })
        .collect();
    drop(at_prompt);
    File::from(ready).read_exact(&mut vec![0; pids.len()]).unwrap();
    let since = Instant::now();
    drop(hold);
    let ends: Vec<_> = pids.into_iter().map(|pid| waitpid(pid, None).unwrap()).collect();
    let took = since.elapsed();
    let code = |end: &WaitStatus| if let WaitStatus::Exited(_, code) = end { *code } else { DIED };
    (took, ends.iter().map(code).collect())
}

/// `pam_start` to `pam_end`; what `pam_authenticate` returned. The first prompt is answered.
fn call(service: &str, user: &str, answer: &str, before_the_answer: &dyn Fn()) -> i32 {
    let string = |text| CString::new(text).expect("no zero byte");
    let mut left = Some(answer);
    let answering = Box::new(|style, _: &[u8]| match style {
        // Questions, hidden and seen.
        1 | 2 => left.take().map_or(Reply::Code(PAM_CONV_ERR), |answer| {
            before_the_answer();
            Reply::Text(answer.into())
        }),
        _ => Reply::Nothing,
    });
    let (confdir, service) = service.rsplit_once('/').expect("a path");
    let (confdir, service, user) = (string(confdir), string(service), string(user));
    match Session::start(&confdir, &service, Some(&user), Some(answering)) {
        Ok(mut session) => session.call(Function::Authenticate, 0),
        Err(code) => code,
    }
}
