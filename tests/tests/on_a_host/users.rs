//! `mfa-setup users`: everybody who has a record in one list, whatever became of the record or its user.

use std::fs;

use mfa_protocol::frame::MAX_FRAME;
use mfa_tests::command_line::{REQUIRED, failed, setup};
use mfa_tests::pam::Attempt;
use mfa_tests::{Host, Running, cache};
use serde_json::{Value, json};

const STORE_PROGRAM: &str = "/usr/local/bin/bench-store";

/// A key of 20 bytes, in hex.
const KEY: &str = "3132333435363738393031323334353637383930";

fn host() -> Host {
    let host =
        ["alice", "bob", "carol"].iter().fold(Host::new(), |host, user| host.user(user, "rabbit"));
    host.config(REQUIRED).pam("code", "auth required pam_mfa.so\n")
}

fn users(host: &Running) -> Vec<Value> {
    let answer = setup(host, "users --json").json();
    assert_eq!(answer.as_object().unwrap().len(), 1);
    answer["users"].as_array().unwrap().clone()
}

/// The line of a user in the table.
fn row(host: &Running, user: &str) -> String {
    let table = setup(host, "users").ok();
    let begins = |line: &&str| line.split_whitespace().next() == Some(user);
    table.lines().find(begins).unwrap_or_else(|| panic!("no {user} in\n{table}")).to_owned()
}

/// All that there is below a directory, and when it changed.
fn state(host: &Running) -> String {
    host.shell("find /etc/pam_mfa /var/lib/pam_mfa -printf '%p %y %s %T@ %C@\\n' | sort")
}

/// That a user has this problem, and that nothing is said to be known.
#[track_caller]
fn has_a_problem(user: &Value, error: &str, hint: &str) {
    for key in [
        "devices",
        "backup_codes_left",
        "tokens",
        "last_used",
        "last_from",
        "lockout",
        "bypass",
        "required",
    ] {
        assert_eq!(user[key], Value::Null, "{key} of {user}");
    }
    let problem = user["problem"].as_str().unwrap_or_else(|| panic!("{user}"));
    assert!(problem.contains(error) && problem.contains(hint), "{problem}");
}

#[test]
fn on_a_fresh_host_nobody_is_enrolled_and_nothing_is_made() {
    let host = host().start();
    assert_eq!(setup(&host, "users --json").ok(), "{\"users\":[]}\n");
    assert_eq!(setup(&host, "users").ok(), "Nobody is enrolled.\n");
    assert!(!host.path("/etc/pam_mfa/store.key").exists());
    assert!(!host.path("/var/lib/pam_mfa").exists());
    // Nor is anybody on one that has a store and decoys alone.
    setup(&host, "init").ok();
    assert_eq!(setup(&host, "users --json").ok(), "{\"users\":[]}\n");
}

#[test]
fn who_is_enrolled_is_listed_with_what_and_when_it_was_used() {
    let host = host().start();
    let mut alice = host.enrol("alice");
    host.enrol_with("alice", &["hotp", "--label", "key"]);
    host.enrol("bob");
    setup(&host, "token new robot --user bob").ok();
    let from = |user: &str| Attempt::new("code", user).from("192.0.2.7");
    assert_eq!(from("alice").answer(alice.device.code()).run(&host).code(), "PAM_SUCCESS");
    let log = host.log().len();
    let before = state(&host);

    let [listed, bob] = &users(&host)[..] else { panic!("{:?}", users(&host)) };
    let time = listed["last_used"].clone();
    assert!(time.as_str().is_some_and(|time| time.len() == 20 && time.ends_with('Z')), "{time}");
    let device = |label: &str, kind: &str, default: bool, used: &Value| json!({"label": label, "kind": kind, "default": default, "disabled": false, "last_used": used});
    assert_eq!(
        *listed,
        json!({
            "user": "alice", "uid": 1000,
            "devices": [device("phone", "totp", true, &time), device("key", "hotp", false, &Value::Null)],
            "backup_codes_left": 10, "tokens": 0, "last_used": time, "last_from": "192.0.2.7",
            "lockout": {"failures": 0, "locked_until": null}, "bypass": null, "required": false,
            "problem": null,
        })
    );
    assert_eq!((&bob["user"], &bob["tokens"]), (&json!("bob"), &json!(1)));
    assert_eq!((&bob["last_used"], &bob["last_from"]), (&Value::Null, &Value::Null));

    let words =
        |user: &str| row(&host, user).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let alice = words("alice");
    assert_eq!(alice[..6], ["alice", "1000", "totp,", "hotp", "10", "0"]);
    assert_eq!(alice[8..], ["192.0.2.7", "0", "-"]);
    assert_eq!(words("bob"), ["bob", "1001", "totp", "10", "1", "never", "-", "0", "-"]);
    let header = setup(&host, "users").ok();
    assert!(
        header.starts_with("USER   UID   DEVICES     CODES  TOKENS  LAST USED (UTC)"),
        "{header}"
    );
    // Looking changes nothing, and is no event.
    assert_eq!(state(&host), before);
    assert_eq!(host.log().len(), log);

    assert_eq!(setup(&host, "show alice --json"), setup(&host, "status --user alice --json"));
    failed(&setup(&host, "show nobody-of-that-name"), 2, "there is no user");
}

#[test]
fn who_has_to_wait_is_shown_until_unlocked() {
    let host = host().start();
    let alice = host.enrol("alice");
    for _ in 0..5 {
        let attempt =
            Attempt::new("code", "alice").from("192.0.2.7").answer(alice.device.wrong_code());
        assert_eq!(attempt.run(&host).code(), "PAM_AUTH_ERR");
    }
    let lockout = users(&host)[0]["lockout"].clone();
    assert_eq!(lockout["failures"], 5);
    assert_eq!(lockout, setup(&host, "status --user alice --json").json()["lockout"]);
    let until = lockout["locked_until"].as_str().unwrap();
    let shown = format!("{} {}", &until[..10], &until[11..16]);
    assert!(
        row(&host, "alice").ends_with(&format!("5         {shown}")),
        "{}",
        row(&host, "alice")
    );
    setup(&host, "unlock --user alice").ok();
    assert_eq!(users(&host)[0]["lockout"], json!({"failures": 0, "locked_until": null}));
}

#[test]
fn a_record_that_cannot_be_believed_or_is_nobodys_is_listed_with_what_to_do_and_ends_no_list() {
    let host = host().user("dave", "x").user("eve", "x").user("frank", "x").start();
    for user in ["alice", "bob", "carol", "dave", "eve", "frank"] {
        host.enrol(user);
    }
    let other = host.shell(
        "cd /var/lib/pam_mfa/users
         cp 1001/summary /root/of-bob
         printf x | dd of=1000/summary bs=1 seek=4300 conv=notrunc status=none
         rm 1001/summary
         sed -i '/^carol:/d' /etc/passwd
         sed -i 's/^dave:/david:/' /etc/passwd
         rm -r 1004/summary
         ln -s /root/of-bob 1004/summary
         mv /etc/pam_mfa/store.key /root/key; mv /var/lib/pam_mfa /root/store",
    );
    assert_eq!(other, "");
    // Eve's is put in place of one of another host, too.
    host.enrol("frank");
    host.shell(
        "cp /var/lib/pam_mfa/users/1005/summary /root/of-another
         rm -r /var/lib/pam_mfa; mv /root/store /var/lib/pam_mfa
         mv /root/key /etc/pam_mfa/store.key
         cat /root/of-another > /var/lib/pam_mfa/users/1005/summary",
    );
    let before = state(&host);
    let listed = users(&host);
    assert_eq!(
        listed.iter().map(|user| user["user"].as_str()).collect::<Vec<_>>(),
        [Some("alice"), Some("bob"), None, Some("david"), Some("eve"), Some("frank")]
    );
    let status = |user: &str| format!("mfa-setup status --user {user} ");
    has_a_problem(&listed[0], "its summary was damaged", &status("alice"));
    has_a_problem(&listed[1], "its summary was gone or cut", &status("bob"));
    has_a_problem(&listed[2], "no user has this uid now", "rm -r /var/lib/pam_mfa/users/1002");
    has_a_problem(&listed[3], "it belongs to another user name", &status("david"));
    has_a_problem(&listed[4], "is a symbolic link", &status("eve"));
    has_a_problem(&listed[5], "it was sealed with another key", &status("frank"));
    let table = setup(&host, "users").ok();
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(row(&host, "-").contains("1002  ?"), "{table}");
    assert_eq!(state(&host), before);

    // What is said to be done helps: the other copy is whole, or says that it is not.
    for user in ["alice", "bob", "frank"] {
        assert_eq!(setup(&host, &format!("status --user {user} --json")).json()["enrolled"], true);
    }
    failed(&setup(&host, "status --user david"), 3, "it belongs to another user name");
    host.shell("rm -r /var/lib/pam_mfa/users/1002");
    setup(&host, "reset --user david --yes").ok();
    setup(&host, "reset --user eve --yes").ok();
    let listed = users(&host);
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|user| user["problem"].is_null()), "{listed:?}");
}

#[test]
fn root_alone_may_ask_be_it_at_the_users_socket() {
    let host = host().start();
    host.enrol("alice");
    let _listener = host.listen_for_users();
    for line in [
        &["mfa-setup", "users"][..],
        &["mfa-setup", "users", "--json"],
        &["mfa-setup", "show", "alice"],
    ] {
        failed(&host.run_as("alice", line), 4, "only root can do that");
        // Whose face takes itself for root's.
        let own = [&["unshare", "--user", "--map-root-user", "--"], line].concat();
        let output = host.run_as("alice", &own);
        assert!(matches!(output.code, Some(3 | 4)) && output.stdout.is_empty(), "{output:?}");
        let at_socket = [&own[..], &["--socket", "/run/pam_mfa/user.sock"]].concat();
        let output = host.run_as("alice", &at_socket);
        assert!(matches!(output.code, Some(3 | 4)) && output.stdout.is_empty(), "{output:?}");
    }
    failed(&setup(&host, "users --user alice"), 2, "users is for no single user");
}

#[test]
fn a_store_or_a_key_that_cannot_be_used_is_an_error_and_no_empty_list() {
    let host = host().start();
    host.enrol("alice");
    host.shell("mv /etc/pam_mfa/store.key /root/");
    failed(&setup(&host, "users --json"), 3, "its sealing key /etc/pam_mfa/store.key is missing");
    host.shell("head -c 32 /dev/zero > /etc/pam_mfa/store.key; chmod 600 /etc/pam_mfa/store.key");
    failed(&setup(&host, "users --json"), 3, "it belongs to another key");
    host.shell("mv /root/store.key /etc/pam_mfa/; mv /var/lib/pam_mfa /var/lib/away");
    failed(&setup(&host, "users"), 3, "but no store");
    host.shell(
        "mv /var/lib/away /var/lib/pam_mfa; mv /var/lib/pam_mfa/users /var/lib/pam_mfa/aside",
    );
    failed(&setup(&host, "users"), 3, "its directory");
    host.write("/etc/pam_mfa/config.toml", "mode = 1\n");
    failed(&setup(&host, "users"), 3, "config.toml");
}

#[test]
fn users_of_several_pages_are_listed_once_each_and_no_db_is_opened() {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 300;
    let host = Host::new().bind(cache::program("bench-store"), STORE_PROGRAM).start();
    let passwd = host.read("/etc/passwd");
    let line = |uid: u32| format!("u{uid}:x:{uid}:{uid}::/:/bin/sh\n");
    let lines: String = (FIRST..FIRST + COUNT).map(line).collect();
    host.write("/etc/passwd", passwd + &lines);
    host.run(&[STORE_PROGRAM, "enrol", "totp", KEY, &FIRST.to_string(), &COUNT.to_string()]).ok();
    // What opened a db would find none, and make it. Before and behind them are users who are gone.
    host.shell(
        "cd /var/lib/pam_mfa/users
         rm -r 20[0-2]??/db
         mkdir -m 700 $(seq 19000 19799) $(seq 20300 21099)",
    );
    let listed = users(&host);
    let uids = listed.iter().map(|user| user["uid"].as_u64().unwrap());
    assert!(uids.eq((19_000..=19_799).chain(20_000..=21_099)), "each once, in order");
    let (gone, enrolled): (Vec<&Value>, Vec<&Value>) =
        listed.iter().partition(|user| user["user"].is_null());
    assert_eq!((gone.len(), enrolled.len()), (1_600, 300));
    let said = gone.iter().filter_map(|user| user["problem"].as_str());
    assert!(said.map(str::len).sum::<usize>() > 2 * MAX_FRAME, "one page has all of them");
    assert!(
        enrolled.iter().all(|user| user["backup_codes_left"] == 10 && user["problem"].is_null())
    );
    let dbs = fs::read_dir(host.path("/var/lib/pam_mfa/users")).unwrap();
    let made = dbs.filter(|user| user.as_ref().unwrap().path().join("db").exists()).count();
    assert!(made <= 16, "decoys alone have one: {made}");
    assert_eq!(setup(&host, "users").ok().lines().count(), 1_901);
}
