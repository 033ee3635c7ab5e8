//! An application that asks PAM, as the [`Plan`]s on standard input say, a line each; see
//! [`mfa_tests::pam`].

mod ffi;
mod snapshot;

use std::cell::Cell;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use std::{process, thread};

use mfa_tests::pam::{
    Answer, Attempt, Call, Function, Plan, Reaps, Report, Shown, Style, Surroundings, Text,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_child_subreaper, set_no_new_privs};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pipe};

use crate::ffi::{Answering, Reply, Session};
use crate::snapshot::Snapshot;

/// How long a race waits for those that do not come to their prompt.
const STRAGGLERS: Duration = Duration::from_secs(120);

fn main() {
    // Copies, since the plan may close 0, 1 and 2. They are not handed down to the verifier.
    let input = File::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let output = File::from(io::stdout().as_fd().try_clone_to_owned().unwrap());
    ffi::warm_up_syslog();
    let mut plan = serde_json::from_str(&line(&input)).expect("a plan");
    loop {
        carry_out_all(&plan, &input, &output);
        match serde_json::from_str(&line(&input)) {
            Ok(next) => plan = next,
            Err(_) => break,
        }
    }
    if plan.surroundings.reaps == Reaps::Orphans {
        // Interrupted by the handler that reaps them.
        while !matches!(waitpid(None, None), Err(Errno::ECHILD)) {}
    }
}

fn carry_out_all(plan: &Plan, input: &File, output: &File) {
    surround(&plan.surroundings);
    let reports = if plan.race {
        race(&plan.attempts)
    } else if plan.threads {
        side_by_side(&plan.attempts)
    } else {
        let gate = || {
            let mut output = output;
            writeln!(output, "at the prompt").unwrap();
            if line(input).is_empty() {
                // Whoever sat there is gone.
                ffi::exit_at_once(9);
            }
        };
        // One line at a time: what a crash leaves behind is seen.
        for attempt in &plan.attempts {
            let report = if attempt.in_child {
                collect(spawn(attempt, &gate))
            } else {
                carry_out(attempt, &gate)
            };
            print(output, &report);
        }
        return;
    };
    for report in &reports {
        print(output, report);
    }
}

fn print(mut output: &File, report: &Report) {
    let mut line = serde_json::to_vec(report).unwrap();
    line.push(b'\n');
    output.write_all(&line).unwrap();
}

/// Reads a line, and no byte beyond it: the next is for whoever waits at a prompt.
fn line(mut input: &File) -> String {
    let mut line = vec![];
    let mut byte = [0];
    while input.read(&mut byte).unwrap_or(0) == 1 {
        line.push(byte[0]);
        if byte == *b"\n" {
            break;
        }
    }
    String::from_utf8(line).unwrap()
}

/// Forks one process for each attempt, waits until each is at its prompt or over, and lets all go.
fn race(attempts: &[Attempt]) -> Vec<Report> {
    let (ready, at_prompt) = pipe().unwrap();
    let (start, hold) = pipe().unwrap();
    let mut hold = Some(hold);
    let mut runners = vec![];
    for attempt in attempts {
        let hand = |hold: &mut Option<OwnedFd>| {
            drop(hold.take());
            let announced = Cell::new(false);
            let announce = || {
                if !announced.replace(true) {
                    nix::unistd::write(&at_prompt, b"x").unwrap();
                }
            };
            let gate = || {
                announce();
                let mut start = File::from(start.try_clone().unwrap());
                let _ = start.read(&mut [0]);
            };
            let report = carry_out(attempt, &gate);
            announce();
            report
        };
        runners.push(fork_with(|| hand(&mut hold)));
    }
    drop(at_prompt);
    await_all(&ready, runners.len());
    drop(hold);
    runners.into_iter().map(collect).collect()
}

/// Waits until so many bytes have come in, or nobody is left who could send one.
fn await_all(ready: &OwnedFd, mut missing: usize) {
    let deadline = Instant::now() + STRAGGLERS;
    let mut buffer = [0; 1024];
    while missing > 0 && Instant::now() < deadline {
        let mut fds = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(100u8)) != Ok(1) {
            continue;
        }
        match nix::unistd::read(ready, &mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => missing = missing.saturating_sub(count),
        }
    }
}

fn side_by_side(attempts: &[Attempt]) -> Vec<Report> {
    let before = Snapshot::take();
    let mut reports: Vec<Report> = thread::scope(|scope| {
        let threads: Vec<_> =
            attempts.iter().map(|attempt| scope.spawn(|| attempt_alone(attempt, &|| {}))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let changed = before.changes(&Snapshot::take());
    for report in &mut reports {
        report.changed.clone_from(&changed);
    }
    reports
}

/// A forked process and where its report comes from.
struct Runner {
    pid: Pid,
    report: File,
}

fn spawn(attempt: &Attempt, gate: &dyn Fn()) -> Runner {
    fork_with(|| carry_out(attempt, gate))
}

fn fork_with(work: impl FnOnce() -> Report) -> Runner {
    let (report, theirs) = pipe().unwrap();
    match ffi::fork().expect("fork") {
        ForkResult::Parent { child } => Runner { pid: child, report: File::from(report) },
        ForkResult::Child => {
            drop(report);
            let report = work();
            print(&File::from(theirs), &report);
            ffi::exit_at_once(0);
        }
    }
}

fn collect(mut runner: Runner) -> Report {
    let mut text = String::new();
    let _ = runner.report.read_to_string(&mut text);
    let ended = waitpid(runner.pid, Some(WaitPidFlag::empty()));
    serde_json::from_str(&text).unwrap_or_else(|_| Report {
        died: Some(match ended {
            Ok(WaitStatus::Exited(_, code)) => format!("exit {code}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => signal.to_string(),
            other => format!("{other:?}"),
        }),
        ..Report::default()
    })
}

/// An attempt, and what it changed of this process.
fn carry_out(attempt: &Attempt, gate: &dyn Fn()) -> Report {
    let before = Snapshot::take();
    let mut report = attempt_alone(attempt, gate);
    report.changed = before.changes(&Snapshot::take());
    report.resident_kib = snapshot::resident_kib();
    report
}

fn attempt_alone(attempt: &Attempt, gate: &dyn Fn()) -> Report {
    let mut shown = vec![];
    let report = drive(attempt, conversation(attempt, gate, &mut shown));
    Report { shown, ..report }
}

fn conversation<'a>(
    attempt: &'a Attempt,
    gate: &'a dyn Fn(),
    shown: &'a mut Vec<Shown>,
) -> Box<Answering<'a>> {
    let mut asked = 0..;
    Box::new(move |style, text| {
        let style = match style {
            1 => Style::Hidden,
            2 => Style::Visible,
            3 => Style::Error,
            4 => Style::Info,
            _ => Style::Unknown,
        };
        shown.push(Shown { style, text: String::from_utf8_lossy(text).into_owned() });
        if !matches!(style, Style::Hidden | Style::Visible) {
            return Reply::Nothing;
        }
        let number = asked.next().unwrap_or(usize::MAX);
        if attempt.wait_at == Some(number) {
            gate();
        }
        match attempt.answers.get(number) {
            Some(Answer::Say(text)) => Reply::Text(text.bytes().to_vec()),
            Some(Answer::Null) => Reply::Nothing,
            Some(Answer::Fail(code)) => Reply::Code(*code),
            Some(Answer::SayAndDie(text, microseconds)) => {
                let life = Duration::from_micros(*microseconds);
                thread::spawn(move || {
                    thread::sleep(life);
                    ffi::exit_at_once(9);
                });
                Reply::Text(text.bytes().to_vec())
            }
            None => Reply::Code(ffi::PAM_CONV_ERR),
        }
    })
}

fn drive(attempt: &Attempt, answering: Box<Answering<'_>>) -> Report {
    let mut report = Report::default();
    let user = attempt.user.as_ref().map(string);
    let session = Session::start(
        &string(&attempt.confdir.as_str().into()),
        &string(&attempt.service.as_str().into()),
        user.as_deref(),
        (!attempt.no_conversation).then_some(answering),
    );
    let mut session = match session {
        Ok(session) => session,
        Err(code) => {
            report.returned.push(name(code).to_owned());
            return report;
        }
    };
    for (item, value) in [(3, &attempt.tty), (4, &attempt.rhost), (8, &attempt.ruser)] {
        if let Some(value) = value {
            assert_eq!(session.set_item(item, Some(&string(value))), 0, "pam_set_item");
        }
    }
    for pair in &attempt.environment {
        assert_eq!(session.putenv(&string(&pair.into())), 0, "pam_putenv");
    }
    for call in &attempt.calls {
        let since = Instant::now();
        let code =
            if call.in_child { in_child(&mut session, call) } else { one(&mut session, call) };
        report.microseconds.push(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        report.returned.push(name(code).to_owned());
    }
    report.user = session.item(ffi::PAM_USER);
    report.environment = session.environment();
    report
}

fn string(text: &Text) -> CString {
    CString::new(text.bytes()).expect("no zero byte")
}

fn one(session: &mut Session, call: &Call) -> i32 {
    let function = match &call.function {
        Function::Authenticate => ffi::Function::Authenticate,
        Function::Setcred => ffi::Function::Setcred,
        Function::AcctMgmt => ffi::Function::AcctMgmt,
        Function::OpenSession => ffi::Function::OpenSession,
        Function::CloseSession => ffi::Function::CloseSession,
        Function::Chauthtok => ffi::Function::Chauthtok,
        Function::SetItem(item, value) => {
            let value = value.as_ref().map(string);
            return session.set_item(*item, value.as_deref());
        }
    };
    session.call(function, call.flags)
}

fn in_child(session: &mut Session, call: &Call) -> i32 {
    match ffi::fork().expect("fork") {
        ForkResult::Child => ffi::exit_at_once(one(session, call)),
        ForkResult::Parent { child } => match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => code,
            _ => -1,
        },
    }
}

fn surround(wanted: &Surroundings) {
    if let Some(bits) = wanted.umask {
        umask(Mode::from_bits_truncate(bits));
    }
    if wanted.deleted_directory {
        let directory = format!("/tmp/gone-{}", process::id());
        fs::create_dir(&directory).unwrap();
        std::env::set_current_dir(&directory).unwrap();
        fs::remove_dir(&directory).unwrap();
    }
    for (name, value) in &wanted.limits {
        let resource = match name.as_str() {
            "as" => Resource::RLIMIT_AS,
            "core" => Resource::RLIMIT_CORE,
            "cpu" => Resource::RLIMIT_CPU,
            "data" => Resource::RLIMIT_DATA,
            "fsize" => Resource::RLIMIT_FSIZE,
            "nofile" => Resource::RLIMIT_NOFILE,
            "nproc" => Resource::RLIMIT_NPROC,
            "rttime" => Resource::RLIMIT_RTTIME,
            "stack" => Resource::RLIMIT_STACK,
            other => panic!("no limit is called {other}"),
        };
        setrlimit(resource, *value, *value).unwrap();
    }
    let signal = |number: &i32| Signal::try_from(*number).unwrap();
    wanted.ignored.iter().map(signal).for_each(ffi::ignore);
    let blocked: SigSet = wanted.blocked.iter().map(signal).collect();
    blocked.thread_block().unwrap();
    if wanted.reaps != Reaps::Nobody {
        ffi::reap_all();
    }
    if wanted.reaps == Reaps::Orphans {
        set_child_subreaper(true).unwrap();
    }
    wanted.closed.iter().copied().for_each(ffi::close);
    if wanted.no_new_privs {
        set_no_new_privs().unwrap();
    }
    if let Some(uid) = wanted.real_uid {
        ffi::set_uids(uid, 0, 0).unwrap();
    }
    if let Some(uid) = wanted.uid {
        ffi::set_uids(uid, uid, uid).unwrap();
    }
}

/// The name of a return code of Linux-PAM.
fn name(code: i32) -> &'static str {
    const NAMES: [&str; 32] = [
        "PAM_SUCCESS",
        "PAM_OPEN_ERR",
        "PAM_SYMBOL_ERR",
        "PAM_SERVICE_ERR",
        "PAM_SYSTEM_ERR",
        "PAM_BUF_ERR",
        "PAM_PERM_DENIED",
        "PAM_AUTH_ERR",
        "PAM_CRED_INSUFFICIENT",
        "PAM_AUTHINFO_UNAVAIL",
        "PAM_USER_UNKNOWN",
        "PAM_MAXTRIES",
        "PAM_NEW_AUTHTOK_REQD",
        "PAM_ACCT_EXPIRED",
        "PAM_SESSION_ERR",
        "PAM_CRED_UNAVAIL",
        "PAM_CRED_EXPIRED",
        "PAM_CRED_ERR",
        "PAM_NO_MODULE_DATA",
        "PAM_CONV_ERR",
        "PAM_AUTHTOK_ERR",
        "PAM_AUTHTOK_RECOVERY_ERR",
        "PAM_AUTHTOK_LOCK_BUSY",
        "PAM_AUTHTOK_DISABLE_AGING",
        "PAM_TRY_AGAIN",
        "PAM_IGNORE",
        "PAM_ABORT",
        "PAM_AUTHTOK_EXPIRED",
        "PAM_MODULE_UNKNOWN",
        "PAM_BAD_ITEM",
        "PAM_CONV_AGAIN",
        "PAM_INCOMPLETE",
    ];
    usize::try_from(code).ok().and_then(|code| NAMES.get(code)).copied().unwrap_or("unknown")
}
