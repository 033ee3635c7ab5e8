//! The real verifier at the end of a socket, and faces that do not keep to the protocol.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mfa_protocol::frame::{FrameError, receive, transmit};
use mfa_protocol::message::{FromFace, LoginRequest, Reply, Request, ToFace};
use mfa_protocol::relay::{decode, encode};
use mfa_protocol::{Answer, PROTOCOL_VERSION, Secret, Verdict};

const SOON: Duration = Duration::from_secs(5);

/// A verifier of its own, on a host without a store.
struct Verifier {
    child: Child,
    stream: UnixStream,
    directory: PathBuf,
}

impl Verifier {
    fn start(test: &str) -> Self {
        // Not below a directory that others can write: that would be refused.
        let directory = PathBuf::from("/var/cache/pam_mfa-tests/unit")
            .join(format!("frames-{}-{test}", std::process::id()));
        DirBuilder::new().recursive(true).mode(0o755).create(&directory).unwrap();
        let config = directory.join("config.toml");
        let path = directory.display();
        fs::write(
            &config,
            format!("[store]\npath = \"{path}/store\"\nkey_file = \"{path}/store.key\"\n"),
        )
        .unwrap();
        let (stream, theirs) = UnixStream::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mfa-verifier"))
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, stream, directory }
    }

    fn send(&self, payload: &[u8]) {
        transmit(&self.stream, payload, SOON).unwrap();
    }

    fn next(&self) -> Result<ToFace, FrameError> {
        receive(&self.stream, SOON).and_then(|payload| decode(&payload))
    }

    fn verdict(&self) -> Verdict {
        match self.next().unwrap() {
            ToFace::Done(reply) => match *reply {
                Reply::Outcome(outcome) => outcome.verdict,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// Waits for its end, which must come by itself.
    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + SOON;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() < deadline => std::thread::yield_now(),
                None => panic!("the verifier does not end"),
            }
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn login() -> Vec<u8> {
    let request = Request::Login(Box::new(LoginRequest {
        user: b"nobody-of-that-name".to_vec(),
        service: "test".to_owned(),
        ..LoginRequest::default()
    }));
    versioned(PROTOCOL_VERSION, &encode(&request).unwrap())
}

/// What the module of version 2 sent, byte by byte: a login of `nobody-of-that-name` by the service
/// `test`.
const LOGIN_OF_VERSION_2: &[u8] = b"\x02\0\x00\x13nobody-of-that-name\x04test\0\0\0\0\0\0\0\0\0\0";

#[test]
fn a_face_of_the_version_before_is_served() {
    let mut verifier = Verifier::start("before");
    verifier.send(LOGIN_OF_VERSION_2);
    assert!(matches!(verifier.next().unwrap(), ToFace::Ask(_)));
    verifier.send(&encode(&FromFace::Answer(Answer::Text(Secret::from("123456")))).unwrap());
    assert_eq!(verifier.verdict(), Verdict::Denied);
    verifier.end();
}

fn versioned(version: u16, request: &[u8]) -> Vec<u8> {
    [&version.to_le_bytes(), request].concat()
}

#[test]
fn a_face_that_keeps_to_the_protocol_is_answered() {
    let mut verifier = Verifier::start("kept");
    verifier.send(&login());
    assert!(matches!(verifier.next().unwrap(), ToFace::Ask(_)));
    let answer = FromFace::Answer(Answer::Text(Secret::from("123456")));
    verifier.send(&encode(&answer).unwrap());
    assert_eq!(verifier.verdict(), Verdict::Denied);
    assert!(verifier.end().success());
}

#[test]
fn requests_that_are_none_are_hung_up_on() {
    let mut trailing = login();
    trailing.push(0);
    let rows: [(&str, Vec<u8>); 7] = [
        ("one byte", vec![1]),
        ("version only", PROTOCOL_VERSION.to_le_bytes().to_vec()),
        ("version 0", versioned(0, &login()[2..])),
        ("a later version", versioned(PROTOCOL_VERSION + 1, &login()[2..])),
        ("garbage", versioned(PROTOCOL_VERSION, &[0xff; 100])),
        ("trailing bytes", trailing),
        ("cut short", login()[..login().len() / 2].to_vec()),
    ];
    for (what, payload) in rows {
        let mut verifier = Verifier::start("none");
        verifier.send(&payload);
        assert!(matches!(verifier.next(), Err(FrameError::HungUp)), "{what}");
        verifier.end();
    }
}

#[test]
fn an_oversized_frame_is_hung_up_on_before_it_is_read() {
    let mut verifier = Verifier::start("oversized");
    verifier.stream.write_all(&u32::MAX.to_le_bytes()).unwrap();
    assert!(matches!(verifier.next(), Err(FrameError::HungUp)));
    verifier.end();
}

#[test]
fn a_message_out_of_order_is_a_refusal() {
    for message in [login(), vec![0xff, 0xff], vec![0]] {
        let mut verifier = Verifier::start("order");
        verifier.send(&login());
        assert!(matches!(verifier.next().unwrap(), ToFace::Ask(_)));
        verifier.send(&message);
        assert_eq!(verifier.verdict(), Verdict::Denied, "{message:?}");
        verifier.end();
    }
}

#[test]
fn a_face_that_hangs_up_ends_the_verifier() {
    let mut asked = Verifier::start("hang-up");
    asked.send(&login());
    assert!(matches!(asked.next().unwrap(), ToFace::Ask(_)));
    asked.stream.shutdown(std::net::Shutdown::Both).unwrap();
    asked.end();
}

#[test]
fn without_a_socket_or_with_other_arguments_it_says_how_it_is_used() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_mfa-verifier"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    for arguments in [&[][..], &["--nonsense"], &["--config"], &["--config", "relative"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.starts_with("mfa-verifier: error: "), "{said}");
        assert!(said.contains("usage: mfa-verifier"), "{said}");
    }
    assert!(run(&["--version"]).status.success());
    assert!(run(&["--help"]).status.success());
}
