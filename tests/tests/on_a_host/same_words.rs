//! Where everybody must give a code, nobody learns from a refusal who exists, who is enrolled and
//! who is locked.

use mfa_tests::pam::{self, Answer, Attempt, Call, DISALLOW_NULL_AUTHTOK, Plan, Report, exact};
use mfa_tests::{Device, Host, Running};

const CODE: &str = "Verification code: ";
const HELP: &str = "Ask the help desk.";

/// Six digits of full width, and what is told of them.
const WIDE: &str = "１２３４５６";
const OTHER_CHARACTERS: &str = "Codes are of 0-9, a-z, spaces and dashes; this answer has other characters.\n\
     If they look right, switch the keyboard to plain (half-width) digits.";

const STATES: [(&str, &str); 4] =
    [("alice", "enrolled"), ("bob", "not enrolled"), ("carol", "unknown"), ("dave", "locked")];

/// Alice is enrolled, Bob is not, Carol does not exist, Dave is locked.
fn host() -> (Running, Device) {
    let policy = |lockout: &str| {
        format!("[policy]\nmode = \"required\"\nhelp = \"{HELP}\"\n[lockout]\n{lockout}\n")
    };
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .user("dave", "dormouse")
        .config(&policy("per_source = 100\nper_user = 100"))
        .file(
            "/etc/strict.toml",
            policy("per_source = 1\nfirst_wait = 86400\nlongest_wait = 86400"),
        )
        .pam("alone", &exact(""))
        .pam("strict", &exact("config=/etc/strict.toml"))
        .pam("password", "auth required pam_unix.so nodelay\n")
        .pam("both", "auth required pam_unix.so nodelay\nauth required pam_mfa.so\n")
        .start();
    let token = host.enrol_with("alice", &["hotp", "--label", "token"]).device;
    let mut other = host.enrol_with("dave", &["hotp", "--label", "token"]).device;
    let log_in = |service: &str, code: String| {
        Attempt::new(service, "dave").answer(code).run(&host).code().to_owned()
    };
    assert_eq!(log_in("alone", other.code()), "PAM_SUCCESS");
    assert_eq!(log_in("strict", other.wrong_code()), "PAM_AUTH_ERR");
    assert_eq!(log_in("alone", other.code()), "PAM_AUTH_ERR");
    host.wait_for_log("outcome=locked user=\"dave\"");
    (host, token)
}

#[test]
fn a_refusal_is_the_same_for_everybody() {
    let (host, token) = host();
    let wrong = token.wrong_code();
    let answers: [Answer; 12] = [
        wrong.as_str().into(),
        "".into(),
        " - ".into(),
        "12345".into(),
        "1234567".into(),
        "12345678".into(),
        "kkkkk-kkkkk-kkkkk".into(),
        "no code at all".into(),
        "x".repeat(1000).into(),
        WIDE.into(),
        Answer::Null,
        Answer::Fail(26),
    ];
    let store = "find /var/lib/pam_mfa -not -path '*/db/*' | sort";
    let before = host.shell(store);
    assert!(!before.contains("users/1001"), "bob has no record: {before}");
    let mut count = 0;
    for answer in answers {
        // Who breaks the conversation off is not spoken to any more.
        let told: &[&str] = match &answer {
            Answer::Say(text) if text.bytes() == WIDE.as_bytes() => &[OTHER_CHARACTERS, HELP],
            Answer::Say(_) => &[HELP],
            _ => &[],
        };
        for flags in [0, DISALLOW_NULL_AUTHTOK] {
            let call = Call::authenticate().flags(flags);
            let alone = |user: &str| {
                Attempt::new("alone", user).answer(answer.clone()).calls([call.clone()])
            };
            let reports = everybody(&host, alone);
            for ((user, state), report) in STATES.iter().zip(&reports) {
                assert_eq!(report.code(), "PAM_AUTH_ERR", "{user} is {state}: {answer:?}");
                assert_eq!(report.asked(), [CODE], "{user} is {state}: {answer:?}");
                assert_eq!(report.told(), told, "{user} is {state}: {answer:?}");
                assert_eq!(report.shown, reports[0].shown, "{user} is {state}: {answer:?}");
                count += 1;
            }
        }

        // Behind a password that is wrong: the code makes no difference to what pam_unix says.
        let both =
            |user: &str| Attempt::new("both", user).answer("looking glass").answer(answer.clone());
        let password = |user: &str| Attempt::new("password", user).answer("looking glass");
        let (both, password) = (everybody(&host, both), everybody(&host, password));
        for (((user, state), report), first) in STATES.iter().zip(&both).zip(&password) {
            assert_ne!(report.code(), "PAM_SUCCESS", "{user} is {state}");
            assert_eq!(report.code(), first.code(), "{user} is {state}: {answer:?}");
            assert_eq!(report.asked(), ["Password: ", CODE], "{user} is {state}: {answer:?}");
            assert_eq!(report.shown, both[0].shown, "{user} is {state}: {answer:?}");
            count += 1;
        }
    }
    // Right passwords, for those who have one.
    for (user, password) in [("alice", "rabbit hole"), ("bob", "walrus"), ("dave", "dormouse")] {
        let report = Attempt::new("both", user).answer(password).answer(wrong.as_str()).run(&host);
        assert_eq!(report.code(), "PAM_AUTH_ERR", "{user}");
        assert_eq!(
            (report.asked(), report.told()),
            (vec!["Password: ", CODE], vec![HELP]),
            "{user}"
        );
    }
    assert_eq!(host.shell(store), before, "nobody got a record by being refused");
    println!("{count} refusals compared");
}

fn everybody(host: &Running, attempt: impl Fn(&str) -> Attempt) -> Vec<Report> {
    let attempts = STATES.map(|(user, _)| attempt(user)).to_vec();
    pam::run(host, &Plan { attempts, ..Plan::default() })
}
