//! The run as Markdown.

use std::fmt::Write as _;

use crate::bounds::{Verdict, judge};
use crate::client::Process;
use crate::crowds::{self, SESSIONS, USERS};
use crate::figures::{Figures, Series};
use crate::footprint::{OPEN, STORE_ROWS, store_row};
use crate::growth;
use crate::logins::{ARGON2, ASKED, EXEMPTED, Given, Subject, WITH_OTHER, row};
use crate::refusals;
use crate::run::Run;

/// What each row is.
const ROWS: &str = "\
- **in process**: `pam_start` to `pam_end` in an application that goes on to the next login; **fresh
  process**: from the start of such an application to its end.
- **pam_permit**: libpam, the application, and a module that does nothing.
- **floor**: this module with a process behind its socket that looks at nothing, judges nothing and logs
  nothing: it asks, writes one block of 4,096 bytes, syncs it, and lets in. What decides in a process of
  its own and is durable before it answers cannot cost less here.
- **google-authenticator**: a state file for each user as the tool writes it when it is answered as it
  advises (no code twice, 3 logins in 30 s, window 3). A wrong code is compared with those of 500 steps
  on either side, to learn how far the clock is off; **noskewadj** turns that off. Its limit of 3 in
  30 s is never reached here.
- **pam_oath**: its file, with one user in it, which is its best case (`usersfile=…/${USER}`); with all in
  one file below. It has no backup codes.
- **pam_mfa spawned**: `verifier=`, so a verifier is started for the login. **resident warm**: the
  user's db is open, since a wrong code came before; **cold**: it is not, since the user has never
  logged in.
- All state lies on one file system, which is named above. A new file for each login, as
  google-authenticator makes it, costs twice as much where there is a journal as where there is none.
- Each login is another user's, or another answer of the same one: right, then wrong, and, when all have
  had these, backup, since the cache is empty after an Argon2. All have one TOTP key, and so one code at a time, which each user gives once. `/etc/passwd` has a host's
  30 lines at each moment, whoever is enrolled.
- libpam loads what the file `other` names for every login. Debian's names five modules, which all rows
  would carry; here it names none.
- Every refusal and every success was as it had to be; no value was left out.
";

/// The whole page. `plots` are the files with the plots, for a light and a dark background.
pub fn markdown(run: &Run, plots: (&str, &str), csv: &str) -> String {
    let mut page = String::from("# What a login costs\n\n");
    if run.size.quick {
        page.push_str("**A quick run: too few repetitions to go by.**\n\n");
    }
    if run.was_busy() {
        page.push_str(
            "**The machine had other things to do, and a login of several processes waits for each of \
             them: do not go by these figures.**\n\n",
        );
    }
    if ["overlay", "tmpfs"].iter().any(|kind| run.state_lies_on().starts_with(kind)) {
        page.push_str(
            "**The state does not lie on a disk: what is written costs nothing here.**\n\n",
        );
    }
    writeln!(
        page,
        "Made by `make bench` in {} s; every single value is in [{csv}]({csv}), in nanoseconds.\n",
        run.took.as_secs()
    )
    .unwrap();
    table(
        &mut page,
        &["", ""],
        run.machine.iter().map(|(key, value)| vec![(*key).to_owned(), value.clone()]),
    );
    write!(
        page,
        "\n<picture><source media=\"(prefers-color-scheme: dark)\" srcset=\"{}\"><img alt=\"The tables \
         below as a plot\" src=\"{}\"></picture>\n",
        plots.1, plots.0
    )
    .unwrap();
    bounds(&mut page, run);
    page.push_str("\n## One login after the other\n\n");
    page.push_str(
        "Each module in turn in each repetition. Microseconds; the ratio is that of the \
                   medians to google-authenticator's with the same answer.\n",
    );
    for given in Given::ALL {
        logins(&mut page, &run.figures, given);
    }
    write!(page, "\nWhat the rows are:\n\n{ROWS}").unwrap();
    parts(&mut page, &run.figures);
    crowd(&mut page, &run.figures);
    growing(&mut page, run);
    four(&mut page, &run.figures);
    footprint(&mut page, run);
    page
}

fn bounds(page: &mut String, run: &Run) {
    page.push_str(
        "\n## Bounds\n\nOf medians; in brackets the limits of 95 % confidence. A bound between the \
         measured value and its lower limit is neither kept nor missed.\n\n",
    );
    let rows = judge(run).into_iter().map(|bound| {
        let verdict = match bound.verdict {
            Verdict::Holds => "PASS",
            Verdict::Unclear => "unclear",
            Verdict::Fails => "**FAIL**",
        };
        vec![bound.what, bound.measured, verdict.to_owned()]
    });
    table(page, &["bound", "measured", ""], rows);
}

fn logins(page: &mut String, figures: &Figures, given: Given) {
    write!(page, "\n### {}\n\n", capital(given.name())).unwrap();
    let rows = Subject::ALL.into_iter().filter_map(|subject| {
        let mut cells = vec![subject.name().to_owned()];
        for process in Process::ALL {
            let series = figures.series(&row(subject, given, process))?;
            let google = figures.median(&row(Subject::Google, given, process));
            cells.extend([micro(series.median()), micro(series.p95())]);
            cells.push(format!("{:.2}", series.median() / google));
        }
        cells
            .push(figures.series(&row(subject, given, Process::Lasting))?.values.len().to_string());
        Some(cells)
    });
    let head = ["", "in process", "p95", "ratio", "fresh process", "p95", "ratio", "n"];
    table(page, &head, rows);
}

/// Where the time of a warm login goes: what each step adds to the one before.
fn parts(page: &mut String, figures: &Figures) {
    page.push_str("\n## Where the time goes\n\n");
    page.push_str(
        "A right code, resident warm, in process: logins that go one step further each, and \
                   what that adds. Medians, microseconds.\n\n",
    );
    let right = row(Subject::Warm, Given::Right, Process::Lasting);
    let steps = [
        (
            "libpam, and an application that asks it",
            row(Subject::Permit, Given::Right, Process::Lasting),
        ),
        (
            "our module found and called, connecting, request and reply, policy, user, log (nobody is asked)",
            EXEMPTED.to_owned(),
        ),
        ("the record loaded, prompt and answer (an empty one)", ASKED.to_owned()),
        ("judged, written, synced (the right code)", right.clone()),
    ];
    let mut before = 0.0;
    let rows = steps.into_iter().map(|(what, row)| {
        let median = figures.median(&row);
        let added = median - before;
        before = median;
        vec![what.to_owned(), format!("{added:.0}"), micro(median)]
    });
    table(page, &["up to", "adds", "login"], rows);
    let floor = figures.median(&row(Subject::Floor, Given::Right, Process::Lasting));
    let google = figures.median(&row(Subject::Google, Given::Right, Process::Lasting));
    writeln!(
        page,
        "\nThe floor (a socket, a question, one block written and synced) is {} of that, {:.2} of \
         google-authenticator: everything that a verifier does besides takes {}.",
        micro(floor),
        floor / google,
        micro(before - floor)
    )
    .unwrap();
    page.push_str("\nThe store alone, without a login, microseconds:\n\n");
    let store = STORE_ROWS.map(|name| (name, store_row(name)));
    let rows = store.into_iter().chain([(ARGON2, ARGON2.to_owned())]).map(|(name, row)| {
        let series = figures.of(&row);
        vec![name.to_owned(), micro(series.median()), micro(series.p95())]
    });
    table(page, &["", "median", "p95"], rows);
    spawned(page, figures);
    writeln!(
        page,
        "\n`pam_permit` in Debian's `/etc/pam.d`, with its `other`: {} in process.",
        micro(figures.median(WITH_OTHER))
    )
    .unwrap();
}

/// Where the time of a spawned login goes, as far as other rows have it.
fn spawned(page: &mut String, figures: &Figures) {
    let right = |subject, process| figures.median(&row(subject, Given::Right, process));
    let login = right(Subject::Spawned, Process::Lasting);
    let store = figures.median(&store_row("open and save in a new process"));
    let start = right(Subject::Permit, Process::Fresh) - right(Subject::Permit, Process::Lasting);
    let decision = right(Subject::Warm, Process::Lasting) - figures.median(&store_row("save"));
    writeln!(
        page,
        "\nOf a spawned login's {}, the store opened and saved to takes {}, starting and ending a process \
         some {} (as much as an application that does nothing takes), and what is done besides saving in \
         a warm login {}; {} are left for what only a new verifier does, such as confining itself.",
        micro(login),
        micro(store),
        micro(start),
        micro(decision),
        micro(login - store - start - decision)
    )
    .unwrap();
}

fn crowd(page: &mut String, figures: &Figures) {
    page.push_str("\n## Many at once\n\n");
    writeln!(
        page,
        "Processes that wait at their prompts and go on at one moment: {USERS} users with right codes (the \
         round is over when the last is), and {SESSIONS} sessions with one right code of one user.\n"
    )
    .unwrap();
    let rows = crowds::SUBJECTS.into_iter().map(|(subject, _)| {
        let round = figures.of(&crowds::round_row(subject));
        let let_in = figures.of(&crowds::let_in_row(subject));
        let one = figures.of(&crowds::one_code_row(subject));
        let sum: u64 = let_in.values.iter().sum();
        let of = let_in.values.len() as u64 * u64::from(USERS);
        let milliseconds = |value: f64| format!("{:.1}", value / 1_000.0);
        vec![
            subject.to_owned(),
            milliseconds(round.median()),
            milliseconds(round.p95()),
            format!("{} %", sum * 100 / of),
            span(one),
            round.values.len().to_string(),
        ]
    });
    let head = ["", "round, ms", "p95", "let in", "let in with one code", "rounds"];
    table(page, &head, rows);
}

fn growing(page: &mut String, run: &Run) {
    page.push_str("\n## More and more users\n\n");
    page.push_str("A right code in process, by the number of users enrolled: a host for each number, in turn. \
                   Eight of them log in, who lie evenly among all, with tokens that count (HOTP). Cold: the db was given up before, as \
                   for another process. Medians, microseconds.\n\n");
    let sizes: Vec<String> =
        run.size.enrolled.iter().map(|size| thousands(u64::from(*size))).collect();
    let head: Vec<&str> = [""].into_iter().chain(sizes.iter().map(String::as_str)).collect();
    let rows = growth::SUBJECTS.into_iter().map(|subject| {
        let median = |size: &u32| micro(run.figures.median(&growth::row(subject, *size)));
        [subject.to_owned()].into_iter().chain(run.size.enrolled.iter().map(median)).collect()
    });
    let written = run.written.iter().map(|(_, micros)| micro(*micros));
    let written =
        vec!["(one record written, by the library)".to_owned()].into_iter().chain(written);
    table(page, &head, rows.chain([written.collect()]));
}

fn four(page: &mut String, figures: &Figures) {
    page.push_str(
        "\n## Four refusals\n\nA wrong code, in process: somebody who has enrolled, in turn with somebody \
         who is refused for another reason. Medians, microseconds.\n\n",
    );
    let rows = refusals::SERVICES.into_iter().flat_map(|(subject, _)| {
        refusals::STATES.map(|state| {
            let median = |row: &str| micro(figures.median(row));
            let [enrolled, other] =
                [refusals::enrolled_row(subject, state), refusals::row(subject, state)];
            vec![format!("{subject}, {state}"), median(&enrolled), median(&other)]
        })
    });
    table(page, &["", "enrolled", "the other"], rows);
}

fn footprint(page: &mut String, run: &Run) {
    let footprint = &run.footprint;
    page.push_str("\n## Disk and memory\n\n");
    let kib = |what: String, value: u64| vec![what, format!("{} KiB", thousands(value))];
    let logins = run.size.logins;
    let mut rows = vec![
        kib("disk, a fresh user".to_owned(), footprint.fresh),
        kib(format!("disk, after {logins} logins, spawned"), footprint.after_spawned),
        kib(format!("disk, after {logins} logins, resident"), footprint.after_resident),
    ];
    for (when, (rss, pss)) in [
        ("as it starts".to_owned(), footprint.at_start),
        (format!("with {OPEN} open dbs"), footprint.with_open_dbs),
    ] {
        rows.push(kib(format!("memory of the resident verifier {when}, RSS"), rss));
        rows.push(kib(format!("memory of the resident verifier {when}, PSS"), pss));
    }
    table(page, &["", ""], rows.into_iter());
}

/// A table whose first column is text, and the others numbers.
fn table(page: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    page.push_str(&line(head.iter().map(|&cell| cell.to_owned()).collect()));
    let rule = |column: usize| if column == 0 { "---" } else { "---:" };
    page.push_str(&line((0..head.len()).map(|column| rule(column).to_owned()).collect()));
    for row in rows {
        page.push_str(&line(row));
    }
}

fn span(series: &Series) -> String {
    let (least, most) = (series.least(), series.most());
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

/// Whole microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration")]
fn micro(value: f64) -> String {
    thousands(value.round() as u64)
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let first = digits.len() % 3;
    let (head, rest) = digits.split_at(first);
    let groups = (!head.is_empty()).then_some(head).into_iter();
    let rest: Vec<&str> = (0..rest.len()).step_by(3).map(|at| &rest[at..at + 3]).collect();
    groups.chain(rest).collect::<Vec<_>>().join(",")
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_groups_of_three() {
        let shown = [0, 12, 999, 1_000, 39_858, 1_234_567].map(thousands);
        assert_eq!(shown, ["0", "12", "999", "1,000", "39,858", "1,234,567"]);
    }
}
