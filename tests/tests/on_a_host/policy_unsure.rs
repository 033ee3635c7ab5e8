//! What policy has to know and the host does not say: whoever it decides for is refused, and nobody else.

use mfa_tests::directory::DOWN;
use mfa_tests::pam::{Attempt, IGNORED, exact};
use mfa_tests::{Host, Running};

const POLICY: &str = r#"
[policy]
mode = "off"
services = ["!cron"]
[[rule]]
users = ["root"]
mode = "off"
[[rule]]
users = ["bob"]
mode = "required"
[[rule]]
groups = ["helpdesk", "games", "no such group"]
mode = "required"
"#;

/// What PAM says to `user` at `service`, where nobody gives a code.
fn ask(host: &Running, service: &str, user: &str) -> String {
    Attempt::new(service, user).answer("").run(host).code().to_owned()
}

#[test]
fn a_directory_that_is_down_lets_nobody_in_whom_it_may_have_in_a_group_that_is_asked() {
    let host = Host::new()
        .user("alice", "rabbit hole")
        .user("bob", "walrus")
        .user("dodo", "caucus race")
        .user("mouse", "tail")
        .directory("looking glass")
        .config(POLICY)
        .pam("door", &exact(""))
        .pam("cron", &exact(""))
        .start();
    host.shell("usermod -G games mouse");
    for (user, expected) in [
        ("alice", "PAM_AUTH_ERR"),
        ("bob", "PAM_AUTH_ERR"),
        ("mouse", "PAM_AUTH_ERR"),
        ("dodo", IGNORED),
        ("root", IGNORED),
    ] {
        assert_eq!(ask(&host, "door", user), expected, "{user}");
    }
    let checked = host.run(&["mfa-setup", "check"]).ok();
    assert!(checked.contains("there is no group \"no such group\""), "{checked}");

    host.write(DOWN, "");
    // Dodo is in none, but who says so?
    for user in ["alice", "dodo"] {
        assert_eq!(ask(&host, "door", user), "PAM_AUTHINFO_UNAVAIL", "{user}");
        let line = host.logged_by_now("outcome=").pop().unwrap();
        assert!(line.contains("error=\"the user database fails: "), "{line}");
    }
    // A rule before it holds, one of the host's own groups is enough, or the service is asked nothing.
    for (service, user, expected) in [
        ("door", "bob", "PAM_AUTH_ERR"),
        ("door", "mouse", "PAM_AUTH_ERR"),
        ("door", "root", IGNORED),
        ("cron", "alice", IGNORED),
    ] {
        assert_eq!(ask(&host, service, user), expected, "{service} {user}");
    }
    // And it can be known before anybody is shut out.
    let output = host.run(&["mfa-setup", "check"]);
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.stderr.contains("the user database fails"), "{}", output.stderr);
}
