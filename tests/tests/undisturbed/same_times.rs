//! Where everybody must give a code, the time that a refusal takes tells nobody who exists, who is
//! enrolled, who is locked and whose device is disabled.
//!
//! Measured is the verifier's part, without libpam: what other modules of a stack need for a user
//! that does not exist is not ours.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use mfa_protocol::message::{Action, LoginRequest};
use mfa_protocol::{Outcome, Reply, Request, Verdict};
use mfa_tests::pam::{Attempt, exact};
use mfa_tests::requests::{login, manage};
use mfa_tests::timed::Timed;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::alone;
use mfa_tests::{Host, Running};

/// In each, everybody is refused once.
const ROUNDS: usize = 1_000;

/// Rounds after which alice's failures are forgotten: a hundred in a row disable her device.
const FORGIVEN_AFTER: usize = 50;

/// How far the medians may lie apart.
const WITHIN: f64 = 1.05;

/// A difference that is real shows each time, one of the machine's does not.
const TRIES: usize = 3;

const FROM: &str = "192.0.2.7";

const STATES: [(&str, &str, Verdict); 5] = [
    ("alice", "enrolled", Verdict::Denied),
    ("bob", "not enrolled", Verdict::Denied),
    ("carol", "unknown", Verdict::Denied),
    ("dave", "locked", Verdict::Locked),
    ("erin", "disabled", Verdict::Denied),
];

#[test]
fn a_spawned_verifier_takes_as_long_for_everybody() {
    let _alone = alone();
    let (host, wrong) = host();
    compare("spawned", || refuse(&host, &wrong));
}

#[test]
fn a_resident_verifier_takes_as_long_for_everybody() {
    let _alone = alone();
    let (host, wrong) = host();
    let _resident = host.reside();
    // Nothing else can be started.
    host.shell(&format!("mv {VERIFIER} {VERIFIER}.away"));
    compare("resident", || refuse(&host, &wrong));
}

/// However long the mailer takes, nobody waits for it, also for a verifier that does. Over all, since it does
/// so when it has answered. What the mailer takes of the processors meanwhile is left.
#[test]
fn a_letter_on_its_way_is_waited_for_by_nobody() {
    const SHARE: Duration = Duration::from_millis(50);
    /// A user is refused four times at the most: five wrong codes, and no mail is sent any more.
    const TIMES: usize = 4;
    let _alone = alone();
    let mailboxes: Vec<String> = (0..16).map(|n| format!("mail{n}")).collect();
    let policy = "[policy]\nmode = \"required\"\n[lockout]\nper_source = 100\nper_user = 100\n\
                  [email]\nfrom = \"mfa@example.org\"\nsendmail = \"/usr/local/lib/mail/sendmail\"\n\
                  address = \"{user}@example.org\"\n";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .file_with_mode(
            "/usr/local/lib/mail/sendmail",
            "#!/bin/sh\ncat > /dev/null\nexec sleep 4\n",
            0o755,
        )
        .config(policy)
        .timed_face();
    let add = |host: Host, user: &String| host.user_without_password(user);
    let host = mailboxes.iter().fold(host, add).start();
    // Enter, and a wrong code.
    let wrong = format!("\n{}", host.enrol("alice").device.wrong_code());
    let request = |user: &str| request(Some((user, "", Verdict::Denied)));
    // Their records are made, in which it is noted that something was sent.
    let first: Vec<_> = mailboxes.iter().map(|user| (request(user), wrong.as_str())).collect();
    host.time(&first);
    let mut order = vec![];
    for user in (1..TIMES).flat_map(|_| &mailboxes) {
        let mut three = [("mailbox", user.as_str()), ("app", "alice"), ("unknown", "carol")];
        three.sort_by_cached_key(|_| RandomState::new().hash_one(()));
        order.extend(three);
    }
    let requests: Vec<_> = order.iter().map(|(_, user)| (request(user), wrong.as_str())).collect();
    let mut times: HashMap<_, Vec<Duration>> = HashMap::new();
    for ((state, _), timed) in order.into_iter().zip(host.time(&requests)) {
        let Reply::Outcome(outcome) = &timed.reply else { panic!("{:?}", timed.reply) };
        assert_eq!(outcome.verdict, Verdict::Denied, "{state}");
        times.entry(state).or_default().push(timed.to_prompt + timed.to_reply);
    }
    let sent = host.logged_by_now("action=send_code user=\"mail");
    assert!(sent.iter().all(|line| !line.contains("refused")), "{sent:#?}");
    host.shell("pgrep -x sleep");
    let median = |(state, mut times): (_, Vec<Duration>)| {
        times.sort_unstable();
        (times[times.len() / 2], state)
    };
    let mut medians: Vec<(Duration, &str)> = times.into_iter().map(median).collect();
    medians.sort_unstable();
    assert!(medians[2].0 < medians[0].0 + SHARE, "{medians:?}");
    println!("medians beside a mailer that takes 4 s: {medians:?}");
}

/// Alice is enrolled, Bob is not, Carol does not exist, Dave is locked, Erin's device is disabled. And a code that
/// is wrong.
fn host() -> (Running, String) {
    let policy = |lockout: &str| format!("[policy]\nmode = \"required\"\n[lockout]\n{lockout}\n");
    let wait = "first_wait = 86400\nlongest_wait = 86400";
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .user("dave", "dormouse")
        .user("erin", "hatter")
        .config(&policy(&format!("per_source = 1\n{wait}")))
        .pam("door", &exact(""))
        .timed_face()
        .start();
    let phone = host.enrol("alice").device;
    let other = host.enrol("dave").device;
    host.enrol("erin");
    host.run(&["mfa-setup", "disable", "phone", "--user", "erin"]).ok();
    let wrong = Attempt::new("door", "dave").from(FROM).answer(other.wrong_code());
    assert_eq!(wrong.run(&host).code(), "PAM_AUTH_ERR");
    host.write(
        "/etc/pam_mfa/config.toml",
        policy(&format!("per_source = 100\nper_user = 100\n{wait}")),
    );
    (host, phone.wrong_code())
}

/// Whose, to the prompt and to the reply.
type Times = Vec<(&'static str, Duration, Duration)>;

/// Refuses everybody again and again, in an order that is another one each time.
fn refuse(host: &Running, wrong: &str) -> Times {
    let mut order = vec![];
    for round in 0..ROUNDS {
        if round % FORGIVEN_AFTER == 0 {
            order.push(None);
        }
        let mut states = STATES;
        states.sort_by_cached_key(|_| RandomState::new().hash_one(()));
        order.extend(states.map(Some));
    }
    let requests: Vec<_> = order.iter().map(|state| (request(*state), wrong)).collect();
    let timed = host.time(&requests);
    assert_eq!(timed.len(), order.len());
    let refused = order.into_iter().zip(timed).filter_map(|(state, timed)| {
        let (_, state, verdict) = state?;
        let Timed { to_prompt, to_reply, reply } = timed;
        assert!(
            matches!(&reply, Reply::Outcome(Outcome { verdict: was, .. }) if *was == verdict),
            "{state}: {reply:?}"
        );
        Some((state, to_prompt, to_reply))
    });
    refused.collect()
}

fn request(state: Option<(&str, &str, Verdict)>) -> Request {
    match state {
        None => manage(Some("alice"), Action::Unlock),
        Some((user, ..)) => Request::Login(Box::new(LoginRequest {
            service: "sshd".to_owned(),
            rhost: Some(FROM.to_owned()),
            ..login(user)
        })),
    }
}

fn compare(mode: &str, mut measure: impl FnMut() -> Times) {
    for _ in 0..TRIES {
        let times = measure();
        let of = |which: fn(&(&str, Duration, Duration)) -> Duration| {
            let mut all: HashMap<&str, Vec<Duration>> = HashMap::new();
            for one in &times {
                all.entry(one.0).or_default().push(which(one));
            }
            all
        };
        let to_prompt = say(&format!("{mode}, to the prompt"), of(|one| one.1));
        let to_reply = say(&format!("{mode}, from the answer to the outcome"), of(|one| one.2));
        if to_prompt <= WITHIN && to_reply <= WITHIN {
            return;
        }
    }
    panic!("{mode}: the medians lie apart each time");
}

/// How far the medians lie apart.
fn say(what: &str, all: HashMap<&str, Vec<Duration>>) -> f64 {
    let mut medians = vec![];
    println!("{what}, {ROUNDS} each, interleaved; microseconds:");
    for (state, mut times) in all {
        assert_eq!(times.len(), ROUNDS);
        times.sort_unstable();
        let quarter = |part: usize| times[ROUNDS * part / 4];
        let [lower, median, upper] = [1, 2, 3].map(|part| quarter(part).as_micros());
        println!("{state:>14}: median {median}, quartiles {lower} and {upper}");
        medians.push(quarter(2).as_secs_f64());
    }
    let slowest = medians.iter().copied().fold(f64::MIN, f64::max);
    let quickest = medians.iter().copied().fold(f64::MAX, f64::min);
    println!("       slowest to quickest: {:.3}", slowest / quickest);
    slowest / quickest
}
