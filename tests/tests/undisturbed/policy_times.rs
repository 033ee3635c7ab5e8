//! The time that a refusal takes does not tell who comes from outside of the networks that policy
//! allows, nor, where rules look at groups, who exists.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use mfa_protocol::message::{Action, LoginRequest};
use mfa_protocol::{Outcome, Reply, Request, Verdict};
use mfa_tests::Host;
use mfa_tests::requests::{login, manage};
use mfa_tests::timed::Timed;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::alone;

const POLICY: &str = r#"
[policy]
mode = "required"
allow_from = ["192.0.2.0/24"]
[lockout]
per_source = 100
per_user = 100
[[rule]]
groups = ["games", "sudo"]
window = 0
[[rule]]
users = ["bob"]
mode = "off"
"#;

/// In each, everybody is refused once.
const ROUNDS: usize = 1_000;

/// Rounds after which alice's failures are forgotten.
const FORGIVEN_AFTER: usize = 50;

/// How far the medians may lie apart; a difference that is real shows each time.
const WITHIN: f64 = 1.05;
const TRIES: usize = 3;

const STATES: [(&str, &str); 4] = [
    ("alice", "192.0.2.7"),
    ("alice", "198.51.100.7"),
    ("carol", "192.0.2.7"),
    ("carol", "home.example.org"),
];

#[test]
fn a_refusal_takes_as_long_from_outside_and_for_whom_no_rule_can_know() {
    let _alone = alone();
    let host = Host::new().user("alice", "rabbit hole").config(POLICY).timed_face().start();
    let wrong = host.enrol("alice").device.wrong_code();
    let _resident = host.reside();
    // Nothing else can be started.
    host.shell(&format!("mv {VERIFIER} {VERIFIER}.away"));
    for _ in 0..TRIES {
        let mut order = vec![];
        for round in 0..ROUNDS {
            if round % FORGIVEN_AFTER == 0 {
                order.push(None);
            }
            let mut states = STATES;
            states.sort_by_cached_key(|_| RandomState::new().hash_one(()));
            order.extend(states.map(Some));
        }
        let requests: Vec<_> = order.iter().map(|who| (request(*who), wrong.as_str())).collect();
        let mut times: BTreeMap<_, Vec<Duration>> = BTreeMap::new();
        for (who, Timed { to_reply, reply, .. }) in order.into_iter().zip(host.time(&requests)) {
            let Some(who) = who else { continue };
            assert!(
                matches!(&reply, Reply::Outcome(Outcome { verdict: Verdict::Denied, .. })),
                "{who:?}: {reply:?}"
            );
            times.entry(who).or_default().push(to_reply);
        }
        let mut medians = vec![];
        for (who, mut times) in times {
            assert_eq!(times.len(), ROUNDS);
            times.sort_unstable();
            println!("{who:?}: {} µs", times[ROUNDS / 2].as_micros());
            medians.push(times[ROUNDS / 2].as_secs_f64());
        }
        let slowest = medians.iter().copied().fold(f64::MIN, f64::max);
        let quickest = medians.iter().copied().fold(f64::MAX, f64::min);
        println!("slowest to quickest: {:.3}", slowest / quickest);
        if slowest / quickest <= WITHIN {
            return;
        }
    }
    panic!("the medians lie apart each time");
}

fn request(who: Option<(&str, &str)>) -> Request {
    match who {
        None => manage(Some("alice"), Action::Unlock),
        Some((user, from)) => Request::Login(Box::new(LoginRequest {
            service: "sshd".to_owned(),
            rhost: Some(from.to_owned()),
            ..login(user)
        })),
    }
}
