//! What a program of a user's may send to the socket for users in place of a request, and what becomes
//! of it: one short line in the log, nothing in the store, and a verifier that ends as it should.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use mfa_protocol::message::{Action, LoginRequest, Request};
use mfa_tests::peer::{GENEROUS, host_with_peers};
use mfa_tests::requests::{bytes_of, framed, login, manage, new_device};
use mfa_tests::traced::VERIFIER;

const REQUIRED: &str = "[policy]\nmode = \"required\"\n";

#[test]
fn garbage_is_refused_with_one_short_line_each() {
    const CONNECTIONS: usize = 1000;
    let host = host_with_peers(REQUIRED).start();
    let _listener = host.listen_for_users();
    let mut peer = host.peer("alice");
    let start = Instant::now();
    for number in 0..CONNECTIONS {
        let mut stream = peer.connect();
        let garbage: Vec<u8> =
            (0..300).map(|at| u8::try_from((at * 7 + number) % 256).unwrap()).collect();
        let _ = stream.write_all(if number % 2 == 0 { &[0xff; 64] } else { &garbage });
        let _ = stream.shutdown(Shutdown::Write);
        // Until it is refused.
        let _ = stream.read_to_end(&mut vec![]);
    }
    let took = start.elapsed();
    let lines = host.logged_by_now("mfa");
    let longest = lines.iter().map(String::len).max().unwrap();
    println!("{CONNECTIONS} in {took:?}: {} lines of at most {longest} bytes", lines.len());
    assert!((1..=CONNECTIONS).contains(&lines.len()));
    assert!(longest < 200, "{lines:?}");
    for line in &lines {
        assert!(line.contains("request=refused by_uid=1000 reason=\""), "{line}");
    }
}

#[test]
fn no_bytes_crash_a_verifier_or_make_it_store_anything() {
    const SOCKET: &str = "/run/fuzz.sock";
    const TRIES: usize = 2500;
    let host = host_with_peers(GENEROUS).start();
    host.enrol_with("bob", &["hotp"]);
    let mut served = host.serve(SOCKET, VERIFIER);
    let mut peer = host.peer_on("alice", SOCKET);
    let requests = [
        Request::Login(Box::new(LoginRequest {
            service: "sudo".to_owned(),
            rhost: Some("192.0.2.7".to_owned()),
            password: Some("123456".into()),
            prompt: Some("Code: ".to_owned()),
            ..login("alice")
        })),
        manage(None, Action::Status),
        manage(Some("alice"), Action::Codes),
        manage(None, Action::Add(Box::new(new_device(true)))),
        manage(None, Action::Remove { label: "phone".to_owned() }),
        manage(None, Action::NewCodes),
        manage(None, Action::Resync { label: "phone".to_owned() }),
        manage(Some("bob"), Action::Reset),
        manage(None, Action::Invite { lifetime: 60 }),
    ];
    let requests = requests.map(|request| bytes_of(&request));
    let before = host.store();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let (start, mut slowest, mut replies) = (Instant::now(), Duration::ZERO, 0);
    for number in 0..TRIES {
        let bytes = mutated(&requests, &mut chance);
        let mut stream = peer.connect();
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let start = Instant::now();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut said = vec![];
        // An end in the middle of what was sent is an end, too.
        if let Err(error) = stream.read_to_end(&mut said) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{number}: {bytes:?}");
        }
        replies += usize::from(!said.is_empty());
        assert_eq!(served.next_status(), "exit status: 0", "{number}: {bytes:?}");
        slowest = slowest.max(start.elapsed());
    }
    println!("{TRIES} in {:?}, the slowest {slowest:?}, {replies} with a reply", start.elapsed());
    assert!(replies > TRIES / 10, "only {replies} were understood at all");
    assert!(host.logged_by_now("panicked").is_empty());
    assert_eq!(host.store(), before);
    // Whoever says nothing is given up as well.
    let idle = peer.connect();
    assert_eq!(served.next_status(), "exit status: 0");
    host.wait_for_log("by_uid=1000 reason=\"the other side did not answer in time\"");
    drop(idle);
}

/// A request as it should be, or not quite, or not at all.
fn mutated(requests: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = requests[chance.below(requests.len())].clone();
    match chance.below(8) {
        0 => bytes = (0..chance.below(200)).map(|_| chance.byte()).collect(),
        1 => bytes.truncate(chance.below(bytes.len())),
        // The header is right, the rest is chance.
        2 => {
            let payload: Vec<u8> = (0..=chance.below(100)).map(|_| chance.byte()).collect();
            bytes = framed(&[&[2, 0], &payload[..]].concat());
        }
        kind => {
            for _ in 0..kind.saturating_sub(4) {
                let length = bytes.len();
                let at =
                    if kind == 7 { chance.below(length) } else { 6 + chance.below(length - 6) };
                match chance.below(3) {
                    0 => bytes[at] ^= 1 << chance.below(8),
                    1 => bytes[at] = chance.byte(),
                    _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][chance.below(5)],
                }
            }
        }
    }
    // What comes behind is taken for answers.
    for _ in 0..chance.below(4) {
        let length = 1 + chance.below(40);
        let mut answer: Vec<u8> = (0..length).map(|_| chance.byte()).collect();
        if chance.below(2) == 0 {
            // The shape of a text.
            answer.splice(.., [0, 0, 6].into_iter().chain(*b"123456"));
        }
        bytes.extend(framed(&answer));
    }
    bytes
}

/// Numbers that look like chance and are the same each time (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}
