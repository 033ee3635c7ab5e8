//! A verifier with a fault, for `verifier=` and `socket=` of the module.
//!
//! - `faulty-verifier --config /ANY/PATH/fault`, as the module starts a verifier: serves the
//!   connection on descriptor 0 with the fault that the file's name says. No such file is needed.
//! - `faulty-verifier listen SOCKET fault`: listens there, says `listening`, and serves every
//!   connection so.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, process, thread};

use mfa_protocol::conversation::{Answer, Prompt, Style};
use mfa_protocol::frame;
use mfa_protocol::message::{
    Added, DeviceKind, Failure, FailureKind, FromFace, FullStatus, GaveUp, Key, Reply, Status,
    ToFace,
};
use mfa_protocol::relay::encode;
use mfa_protocol::relayed;
use mfa_protocol::{Outcome, Secret, Verdict};
use mfa_verifier::audit::{Log, Severity, Syslog};
use mfa_verifier::config::ConfigFile;
use mfa_verifier::process::{Watchdog, belong_to_itself};
use mfa_verifier::serve::Service;
use mfa_verifier::store::Owner;
use mfa_verifier::users::{System, Users};
use nix::sys::signal::{Signal, raise};

/// Longer than any test: the watchdog's end is tested with the real verifier.
const LONG: Duration = Duration::from_secs(3600);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--config", config] => {
            let fault = Path::new(config).file_name().unwrap_or_default().to_string_lossy();
            let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
            // One that stays must hold nothing of the application's open.
            belong_to_itself(&[0, 1, 2, stream.as_raw_fd()]).map_err(io::Error::other)?;
            misbehave(&stream, &fault)
        }
        ["listen", socket, fault] => {
            let listener = UnixListener::bind(socket)?;
            fs::set_permissions(socket, Permissions::from_mode(0o666))?;
            println!("listening");
            for stream in listener.incoming() {
                // A face asks nothing of who does not greet it on the default socket.
                let stream = stream?;
                let _ = relayed::send(&stream, &ToFace::Wait);
                let _ = misbehave(&stream, fault);
            }
            Ok(())
        }
        _ => Err(io::Error::other("this program is started by the tests")),
    }
}

fn misbehave(mut stream: &UnixStream, fault: &str) -> io::Result<()> {
    if let Some(panics) = Panics::of(fault) {
        serve(stream, panics);
        return Ok(());
    }
    match fault {
        "ends" => process::exit(0),
        "stops" => raise(Signal::SIGSTOP)?,
        _ => {}
    }
    let request = frame::receive(stream, LONG).map_err(io::Error::other)?;
    let known = say_rightly(stream, fault)?
        || say_what_is_no_message(stream, fault, &request)?
        || say_what_is_out_of_place(stream, fault)?
        || end(stream, fault)?
        || fault == "stops";
    if !known {
        return Err(io::Error::other(format!("no fault is called {fault}")));
    }
    // What was sent must not be lost because something of the face's is unread.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut vec![]);
    Ok(())
}

/// No fault, for comparison. Like those below, false where there is none of that name.
fn say_rightly(mut stream: &UnixStream, fault: &str) -> io::Result<bool> {
    match fault {
        "granted" => say(stream, &verdict(Verdict::Granted)),
        "exempt" => say(stream, &verdict(Verdict::Exempt)),
        "denied" => say(stream, &verdict(Verdict::Denied)),
        "locked" => say(stream, &verdict(Verdict::Locked)),
        "unavailable" => say(stream, &verdict(Verdict::Unavailable)),
        "granted-in-pieces" => {
            for byte in framed(&verdict(Verdict::Granted)) {
                stream.write_all(&[byte])?;
            }
        }
        "granted-and-stays" => {
            say(stream, &verdict(Verdict::Granted));
            hang();
        }
        "granted-then-garbage" => {
            let mut bytes = framed(&verdict(Verdict::Granted));
            bytes.extend([0xff; 4096]);
            stream.write_all(&bytes)?;
        }
        "prompt-with-every-character" => {
            say(stream, &ToFace::Tell(Style::Info, "a\0b\x1b[2J\u{202e}%s%n".to_owned()));
            let _ = answer_to(stream, &Prompt::hidden("a\0b\x1b[2J%s%n: "));
            say(stream, &verdict(Verdict::Denied));
        }

        _ => return Ok(false),
    }
    Ok(true)
}

fn say_what_is_no_message(
    mut stream: &UnixStream,
    fault: &str,
    request: &[u8],
) -> io::Result<bool> {
    match fault {
        // Frames that are none.
        "nothing" => {}
        "length-zero" => stream.write_all(&0u32.to_le_bytes())?,
        "length-above-the-bound" => announce(stream, 64 * 1024 + 1)?,
        "length-huge" => announce(stream, u32::MAX)?,
        "half-a-header" => stream.write_all(&[1, 0])?,
        "garbage" => stream.write_all(&[0xff; 4096])?,
        "granted-without-a-header" => stream.write_all(&granted())?,
        "granted-half-sent" => {
            let bytes = framed(&verdict(Verdict::Granted));
            stream.write_all(&bytes[..bytes.len() - 1])?;
        }

        // Messages that are none.
        "granted-cut-short" => send(stream, &granted()[..granted().len() - 1]),
        "granted-with-a-byte-too-many" => send(stream, &[granted(), vec![0]].concat()),
        "verdict-that-is-none" => send(stream, &replaced(&granted(), 2, 5)),
        "reply-that-is-none" => send(stream, &replaced(&granted(), 1, 99)),
        "message-that-is-none" => send(stream, &replaced(&granted(), 0, 99)),
        "text-that-is-not-utf8" => send(stream, &[1, 0, 2, 0xc3, 0x28]),
        "the-request-again" => send(stream, request),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Messages at the wrong time, or of the wrong kind.
fn say_what_is_out_of_place(mut stream: &UnixStream, fault: &str) -> io::Result<bool> {
    match fault {
        "a-face-s-message" => transmit(stream, &FromFace::GaveUp(GaveUp::Aborted)),
        "a-face-s-answer" => {
            transmit(stream, &FromFace::Answer(Answer::Text(Secret::from("123456"))));
        }
        "garbage-at-the-prompt" => {
            say(stream, &ToFace::Ask(Prompt::hidden("Verification code: ")));
            stream.write_all(&[0xff; 4096])?;
        }
        "reply-done" => reply(stream, Reply::Done { user: "alice".to_owned() }),
        "reply-codes" => reply(stream, Reply::Codes { user: "alice".to_owned(), codes: vec![] }),
        "reply-new-codes" => {
            reply(stream, Reply::NewCodes { user: "alice".to_owned(), backup_codes: vec![] });
        }
        "reply-key" => reply(stream, key()),
        "reply-added" => reply(stream, added()),
        "reply-status" => reply(stream, status()),
        "reply-failed" => {
            let (error, hint) = ("something\nfailed".to_owned(), "mend \x1b[31mit".to_owned());
            reply(stream, Reply::Failed(Failure { kind: FailureKind::Refused, error, hint }));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn end(mut stream: &UnixStream, fault: &str) -> io::Result<bool> {
    match fault {
        "dies" => raise(Signal::SIGKILL)?,
        "dies-at-the-prompt" => {
            say(stream, &ToFace::Ask(Prompt::hidden("Verification code: ")));
            raise(Signal::SIGKILL)?;
        }
        "dies-after-the-answer" => {
            let _ = answer_to(stream, &Prompt::hidden("Verification code: "));
            raise(Signal::SIGKILL)?;
        }
        "hangs-up-and-stays" => {
            stream.shutdown(Shutdown::Both)?;
            hang();
        }

        // Those that never end.
        "hangs" => hang(),
        "hangs-after-the-answer" => {
            let _ = answer_to(stream, &Prompt::hidden("Verification code: "));
            hang();
        }
        "drips" => {
            announce(stream, 60_000)?;
            while stream.write_all(&[0]).is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

fn announce(mut stream: &UnixStream, length: u32) -> io::Result<()> {
    stream.write_all(&length.to_le_bytes())
}

/// Sends a payload. A face that has given up already is no fault of this program.
fn send(stream: &UnixStream, payload: &[u8]) {
    let _ = frame::transmit(stream, payload, LONG);
}

fn transmit(stream: &UnixStream, message: &impl serde::Serialize) {
    send(stream, &encode(message).expect("a message"));
}

fn say(stream: &UnixStream, message: &ToFace) {
    transmit(stream, message);
}

fn reply(stream: &UnixStream, reply: Reply) {
    say(stream, &ToFace::Done(Box::new(reply)));
}

fn answer_to(stream: &UnixStream, prompt: &Prompt) -> Result<(), frame::FrameError> {
    say(stream, &ToFace::Ask(prompt.clone()));
    frame::receive(stream, LONG).map(drop)
}

fn framed(message: &ToFace) -> Vec<u8> {
    let payload = encode(message).expect("a message");
    let length = u32::try_from(payload.len()).expect("a short message");
    [&length.to_le_bytes()[..], &payload].concat()
}

fn granted() -> Vec<u8> {
    framed(&verdict(Verdict::Granted)).split_off(4)
}

fn replaced(payload: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let mut payload = payload.to_vec();
    payload[place] = byte;
    payload
}

fn verdict(verdict: Verdict) -> ToFace {
    let outcome = Outcome { verdict, user: None, factor: None, label: None };
    ToFace::Done(Box::new(Reply::Outcome(outcome)))
}

fn key() -> Reply {
    Reply::Key(Key {
        user: "alice".to_owned(),
        label: "phone".to_owned(),
        secret: Secret::from("AAAA"),
        uri: Secret::from("otpauth://totp/x?secret=AAAA"),
    })
}

fn added() -> Reply {
    Reply::Added(Added {
        user: "alice".to_owned(),
        uid: 1000,
        id: 1,
        label: "phone".to_owned(),
        kind: DeviceKind::Totp,
        secret: Secret::from("AAAA"),
        uri: Secret::from("otpauth://totp/x?secret=AAAA"),
        backup_codes: vec![],
        codes_shown: false,
    })
}

fn status() -> Reply {
    let status = Status {
        user: "alice".to_owned(),
        uid: 1000,
        devices: vec![],
        backup_codes_left: 0,
        failures: 0,
        locked_until: None,
    };
    Reply::FullStatus(Box::new(FullStatus { status, bypass: None, required: false }))
}

/// Which part of the world of the real verifier panics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Panics {
    Clock,
    Users,
    Log,
}

impl Panics {
    fn of(fault: &str) -> Option<Self> {
        match fault {
            "clock-panics" => Some(Self::Clock),
            "users-panic" => Some(Self::Users),
            "log-panics" => Some(Self::Log),
            _ => None,
        }
    }
}

/// The verifier itself in a world of which a part panics.
fn serve(stream: &UnixStream, panics: Panics) {
    let watchdog = Watchdog::start(LONG).expect("a thread");
    let now = || match panics {
        Panics::Clock => panic!("the clock knows {}", "rabbit hole"),
        _ => 0,
    };
    let users: &dyn Users = if panics == Panics::Users { &Nobody } else { &System };
    let syslog = Syslog::connect();
    let log: &dyn Log = if panics == Panics::Log { &Mute } else { &syslog };
    let first_factor = &mfa_verifier::reauth::Pam;
    let config = &ConfigFile::default();
    let allow = &|bound| watchdog.allow(bound);
    Service { config, open_dbs: None, users, now: &now, first_factor, log, allow }
        .serve(stream, Instant::now());
}

struct Nobody;

impl Users for Nobody {
    fn by_name(&self, _: &[u8]) -> io::Result<Option<Owner>> {
        panic!("nobody is known")
    }

    fn by_uid(&self, _: u32) -> io::Result<Option<Owner>> {
        panic!("nobody is known")
    }

    fn groups(&self, _: &[u8], _: &BTreeSet<&str>) -> io::Result<BTreeSet<String>> {
        panic!("no group is known")
    }

    fn has_group(&self, _: &str) -> io::Result<bool> {
        panic!("no group is known")
    }
}

struct Mute;

impl Log for Mute {
    fn write(&self, _: Severity, _: &str) {
        panic!("nothing can be said")
    }
}
