//! The real verifier at the end of a socket, and faces that do not keep to the protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod connection;

use std::cell::RefCell;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use mfa_protocol::message::{FromFace, LoginRequest, Reply, Request, ToFace};
use mfa_protocol::relay::{decode, encode};
use mfa_protocol::{Answer, OLDEST_VERSION, PROTOCOL_VERSION, Secret, Verdict};
use mfa_verifier::audit::{Log, Severity};
use mfa_verifier::config::ConfigFile;
use mfa_verifier::reauth::Pam;
use mfa_verifier::serve::Service;
use mfa_verifier::users::System;

use connection::{Connection, Site};

fn login() -> Vec<u8> {
    let request = Request::Login(Box::new(LoginRequest {
        user: b"nobody-of-that-name".to_vec(),
        service: "test".to_owned(),
        ..LoginRequest::default()
    }));
    versioned(PROTOCOL_VERSION, &encode(&request).unwrap())
}

fn versioned(version: u16, request: &[u8]) -> Vec<u8> {
    [&version.to_le_bytes(), request].concat()
}

fn asks(connection: &mut Connection) {
    let said = connection.next().expect("it hung up");
    assert!(matches!(decode(&said).unwrap(), ToFace::Ask(_)));
}

fn denies(connection: &mut Connection) {
    let said = connection.next().expect("it hung up");
    match decode(&said).unwrap() {
        ToFace::Done(reply) => match *reply {
            Reply::Outcome(outcome) => assert_eq!(outcome.verdict, Verdict::Denied),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn keeps_to_the_protocol(connection: &mut Connection) {
    connection.send(&login());
    asks(connection);
    let answer = FromFace::Answer(Answer::Text(Secret::from("123456")));
    connection.send(&encode(&answer).unwrap());
    denies(connection);
    assert_eq!(connection.next(), None, "the end");
}

/// A face at a spawned verifier, which ends, and at a resident one, which serves the next one.
fn at_both(test: &str, face: impl Fn(&mut Connection)) {
    let site = Site::new(test);
    let (verifier, mut connection) = site.spawn();
    face(&mut connection);
    verifier.end();
    let _resident = site.reside();
    face(&mut site.greeted());
    keeps_to_the_protocol(&mut site.greeted());
}

#[test]
fn a_face_that_keeps_to_the_protocol_is_answered() {
    at_both("kept", keeps_to_the_protocol);
}

#[test]
fn who_is_served_has_no_child_while_it_is() {
    let site = Site::new("nobodys");
    let (mut verifier, mut connection) = site.spawn();
    verifier.leaves();
    keeps_to_the_protocol(&mut connection);
    verifier.end();
}

#[test]
fn requests_that_are_none_are_hung_up_on() {
    let mut trailing = login();
    trailing.push(0);
    let rows: [(&str, Vec<u8>); 8] = [
        ("one byte", vec![1]),
        ("version only", PROTOCOL_VERSION.to_le_bytes().to_vec()),
        ("version 0", versioned(0, &login()[2..])),
        ("an earlier version", versioned(OLDEST_VERSION - 1, &login()[2..])),
        ("a later version", versioned(PROTOCOL_VERSION + 1, &login()[2..])),
        ("garbage", versioned(PROTOCOL_VERSION, &[0xff; 100])),
        ("trailing bytes", trailing),
        ("cut short", login()[..login().len() / 2].to_vec()),
    ];
    for (what, payload) in rows {
        at_both("none", |connection| {
            connection.send(&payload);
            assert_eq!(connection.next(), None, "{what}");
        });
    }
}

#[test]
fn who_speaks_another_version_is_written_down() {
    for version in [0, 1, 4, u16::MAX] {
        let (stream, theirs) = UnixStream::pair().unwrap();
        Connection { stream }.send(&versioned(version, &login()[2..]));
        let log = Lines::default();
        Service {
            config: &ConfigFile::default(),
            open_dbs: None,
            users: &System,
            now: &|| 0,
            first_factor: &Pam,
            log: &log,
            allow: &|_| {},
        }
        .serve(&theirs, Instant::now());
        let reason = format!("reason=\"protocol version {version} is not spoken here\"");
        let expected = (Severity::Error, format!("request=refused by_uid=0 {reason}"));
        assert_eq!(log.0.into_inner(), [expected]);
    }
}

#[derive(Default)]
struct Lines(RefCell<Vec<(Severity, String)>>);

impl Log for Lines {
    fn write(&self, severity: Severity, line: &str) {
        self.0.borrow_mut().push((severity, line.to_owned()));
    }
}

#[test]
fn an_oversized_frame_is_hung_up_on_before_it_is_read() {
    at_both("oversized", |connection| {
        connection.stream.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(connection.next(), None);
    });
}

#[test]
fn a_message_out_of_order_is_a_refusal() {
    for message in [login(), vec![0xff, 0xff], vec![0]] {
        at_both("order", |connection| {
            connection.send(&login());
            asks(connection);
            connection.send(&message);
            denies(connection);
        });
    }
}

#[test]
fn a_face_that_hangs_up_ends_the_verifier() {
    at_both("hang-up", |connection| {
        connection.send(&login());
        asks(connection);
        connection.stream.shutdown(Shutdown::Both).unwrap();
    });
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
