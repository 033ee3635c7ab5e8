use super::*;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/etc/pam_mfa/config.toml"), text).map_err(|e| e.to_string())
}

#[test]
fn an_empty_file_is_the_built_in_policy_and_it_requires() {
    let config = parse("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.policy.mode, Mode::Required);
}

#[test]
fn the_defaults_are_those_of_the_interface() {
    let written = r#"
            [store]
            path = "/var/lib/pam_mfa"
            key_file = "/etc/pam_mfa/store.key"
            [policy]
            mode = "required"
            help = ""
            remember = "0"
            without_key = false
            remember_session = "0"
            enrol_at_login = "off"
            enrol_from = []
            verify_new_address = false
            new_address_exempts_enrolled = false
            [login]
            prompt = "Verification code: "
            echo = false
            [totp]
            issuer = "{hostname}"
            algorithm = "sha1"
            digits = 6
            period = 30
            window = 1
            resync_minutes = 10
            [hotp]
            look_ahead = 10
            resync = 100
            [backup_codes]
            count = 10
            low = 3
            [lockout]
            per_source = 5
            per_user = 10
            first_wait = 30
            longest_wait = 3600
            disable_after = 100
            backup_codes_per_hour = 10
            known_source_days = 30
            [email]
            from = ""
            sendmail = "/usr/sbin/sendmail"
            smtp = ""
            password_file = ""
            ca_file = ""
            timeout = 8
            code_lifetime = 5
            per_hour = 5
            address = ""
        "#;
    assert_eq!(parse(written).unwrap(), Config::default());
}

#[test]
fn a_mistake_in_a_rule_is_named_with_its_place() {
    // Each in the second rule, whose header is line 5.
    let rows = [
        ("user = [\"bob\"]", ":6:1: ", "unknown field `user`"),
        ("name = \"\"", ":6:8: ", "no name"),
        ("users = []", ":6:9: ", "nobody"),
        ("users = [\"a\\n\"]", ":6:10: ", "no name"),
        ("groups = \"wheel\"", ":6:10: ", "invalid type"),
        ("services = []", ":6:12: ", "matches nothing"),
        ("from = []", ":6:8: ", "matches nothing"),
        ("from = [\"0.0.0.0/33\"]", ":6:9: ", "no network"),
        ("console = \"yes\"", ":6:11: ", "invalid type"),
        ("time = []", ":6:8: ", "never"),
        ("time = [\"Mon-Fri\", \"8-18\"]", ":6:20: ", "no time such as"),
        ("mode = \"of\"", ":6:8: ", "unknown variant `of`"),
        ("help = \"a\\tb\"", ":6:8: ", "control"),
        ("required_from = \"soon\"", ":6:17: ", "a date such as"),
        ("trusted = [\"1.2.3.4/8\"]", ":6:12: ", "bits set"),
        ("allow_from = [7]", ":6:15: ", "invalid type"),
        ("backup_codes_anywhere = \"\"", ":6:25: ", "invalid type"),
        ("methods = [\"totp\", \"sms\"]", ":6:20: ", "unknown variant `sms`"),
        ("window = 11", ":6:10: ", "a number from 0 to 10"),
        ("lockout = { per_source = 0 }", ":6:26: ", "a number from 1 to 100"),
        ("lockout = { per_users = 1 }", ":6:13: ", "unknown field `per_users`"),
        ("users = [\"bob\"]", ":5:1: ", "sets nothing"),
        ("", ":5:1: ", "sets nothing"),
        ("mode = \"off\"\n[[rule]]\nusers = [\"x\"]\nmode = \"off\"", ":5:1: ", "only the last"),
    ];
    let first = "[[rule]]\nusers = [\"alice\"]\nmode = \"off\"\n\n[[rule]]\n";
    for (text, place, message) in rows {
        let error = parse(&format!("{first}{text}\n")).unwrap_err();
        assert!(error.contains(place), "{text:?}: {error}");
        assert!(error.contains(message), "{text:?}: {error}");
    }
}

#[test]
fn every_key_of_a_rule_is_accepted_and_the_last_may_be_for_everybody() {
    let text = r#"
            [[rule]]
            name = "all of it"
            users = ["alice", "müller"]
            groups = ["wheel"]
            services = ["sshd", "SUDO"]
            from = ["192.0.2.0/24", "2001:db8::/32"]
            console = false
            time = ["Mon-Fri 08:00-18:00"]
            mode = "optional"
            help = "Ask Bob."
            required_from = 2026-12-01
            trusted = ["192.0.2.7"]
            allow_from = ["192.0.2.0/24"]
            backup_codes_anywhere = true
            methods = ["hotp", "backup_code"]
            remember = "12h"
            without_key = true
            remember_session = "10m"
            enrol_at_login = "anybody"
            enrol_from = ["192.0.2.0/24"]
            verify_new_address = true
            new_address_exempts_enrolled = true
            window = 0
            lockout = { per_source = 1, per_user = 2, first_wait = 3, longest_wait = 4, disable_after = 5, backup_codes_per_hour = 6, known_source_days = 7 }
            [[rule]]
            required_from = 2026-12-01T00:00:00Z
        "#;
    let config = parse(text).unwrap();
    assert_eq!(config.rules.len(), 2);
    assert_eq!((config.rules[0].line, config.rules[1].line), (2, 26));
    let changed = config.rules[0].applied_to(&config);
    let lockout = LockoutConfig {
        per_source: 1,
        per_user: 2,
        first_wait: 3,
        longest_wait: 4,
        disable_after: 5,
        backup_codes_per_hour: 6,
        known_source_days: 7,
    };
    assert_eq!(changed.lockout, lockout);
    assert_eq!((changed.policy.mode, changed.totp.window), (Mode::Optional, 0));
    assert_eq!(changed.policy.methods.names(), ["hotp", "backup_code"]);
    assert!(changed.policy.backup_codes_anywhere);
    let remembering = &changed.policy;
    assert_eq!((remembering.remember, remembering.remember_session), (43_200, 600));
    assert!(remembering.without_key);
    assert_eq!(changed.policy.enrol_at_login, EnrolAtLogin::Anybody);
    assert_eq!(changed.policy.enrol_from, changed.policy.allow_from);
    assert!(remembering.verify_new_address && remembering.new_address_exempts_enrolled);
    let from = changed.policy.required_from;
    assert_eq!(from.written(), "2026-12-01");
    assert!(from.is_local());
}

#[test]
fn times_are_written_as_people_write_them() {
    for (text, seconds) in
        [("0", 0), ("1m", 60), ("90m", 5_400), ("12h", 43_200), ("14d", 1_209_600)]
    {
        let config = parse(&format!("[policy]\nremember = \"{text}\"")).unwrap();
        assert_eq!(config.policy.remember, seconds, "{text}");
    }
    let session = parse("[policy]\nremember_session = \"24h\"").unwrap();
    assert_eq!(session.policy.remember_session, 86_400);
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let rows = [
        ("[policy]\nmod = \"off\"", ":2:1: ", "unknown field `mod`"),
        ("[policy]\nmode = \"of\"", ":2:8: ", "unknown variant `of`"),
        ("[polcy]\n", ":1:2: ", "unknown field `polcy`"),
        ("[totp]\ndigits = 5", ":2:10: ", "a number from 6 to 8"),
        ("[totp]\ndigits = \"6\"", ":2:10: ", "invalid type"),
        ("[totp]\nperiod = 301", ":2:10: ", "a number from 15 to 300"),
        ("[lockout]\nper_source = 0", ":2:14: ", "a number from 1 to 100"),
        ("[lockout]\nper_user = -1", ":2:12: ", "a number from 1 to 100"),
        ("[store]\npath = \"var\"", ":2:8: ", "an absolute path"),
        ("[totp]\nissuer = \"a:b\"", ":2:10: ", "without colon"),
        ("[totp]\nissuer = \"{host}\"", ":2:10: ", "{hostname}"),
        ("[policy]\nhelp = \"a\\nb\"", ":2:8: ", "control"),
        ("[policy]\nremember = \"15d\"", ":2:12: ", "a time from \"1m\" to \"14d\""),
        ("[policy]\nremember = \"59s\"", ":2:12: ", "a time from \"1m\" to \"14d\""),
        ("[policy]\nremember = \"ever\"", ":2:12: ", "a time from \"1m\" to \"14d\""),
        ("[policy]\nremember = 12", ":2:12: ", "invalid type"),
        ("[policy]\nwithout_key = \"yes\"", ":2:15: ", "invalid type"),
        ("[policy]\nremember_session = \"25h\"", ":2:20: ", "a time from \"1m\" to \"1d\""),
        ("[totp]\nalgorithm = \"md5\"", ":2:13: ", "unknown variant `md5`"),
        ("[policy\n", ":1:8: ", ""),
        ("[email]\nfrom = \"mfa\"", ":2:8: ", "exactly one @"),
        ("[email]\nfrom = \"a@b\\nBcc: c@d\"", ":2:8: ", "control"),
        ("[email]\nsmtp = \"smtp://mail\"", ":2:8: ", "for this host"),
        ("[email]\nsendmail = \"sendmail\"", ":2:12: ", "an absolute path"),
        ("[email]\nca_file = \"ca.pem\"", ":2:11: ", "an absolute path"),
        ("[email]\ntimeout = 9", ":2:11: ", "a number from 1 to 8"),
        ("[email]\ncode_lifetime = 0", ":2:17: ", "a number from 1 to 10"),
        ("[email]\nper_hour = 11", ":2:12: ", "a number from 1 to 10"),
        ("[email]\naddress = \"all@b\"", ":2:11: ", "{user} must stand in it"),
        ("[email]\naddress = \"{user}@b\"", ":1:", "without from"),
        ("[email]\nfrom = \"a@b\"\nsmtp = \"smtps://u@h\"", ":1:", "password_file belongs"),
        ("[email]\nfrom = \"a@b\"\npassword_file = \"/p\"", ":1:", "password_file belongs"),
        ("[policy]\nservices = [\"ss/hd\"]", ":2:13: ", "no name of a PAM service"),
        ("[policy]\nservices = \"sshd\"", ":2:12: ", "invalid type"),
        ("[policy]\nrequired_from = \"2026-12-01\"", ":2:17: ", "without quotes"),
        ("[policy]\nrequired_from = 2026-12-01T08:00:00", ":2:17: ", "its offset"),
        ("[policy]\nrequired_from = 08:00:00", ":2:17: ", "a date such as"),
        ("[policy]\ntrusted = [\"10.0.0.0/8\", \"10.0.0.1/8\"]", ":2:26: ", "10.0.0.0/8"),
        ("[policy]\ntrusted = \"10.0.0.0/8\"", ":2:11: ", "invalid type"),
        ("[policy]\nallow_from = [\"office\"]", ":2:15: ", "no network"),
        ("[policy]\nallow_from = [\"fe80::1%eth0\"]", ":2:15: ", "scope"),
        ("[policy]\nbackup_codes_anywhere = 1", ":2:25: ", "invalid type"),
        ("[policy]\nmethods = []", ":2:11: ", "nobody"),
        ("[policy]\nmethods = [\"sms\"]", ":2:12: ", "unknown variant `sms`"),
        ("[policy]\nenrol_at_login = \"all\"", ":2:18: ", "unknown variant `all`"),
        ("[policy]\nenrol_from = [\"office\"]", ":2:15: ", "no network"),
    ];
    for (text, place, message) in rows {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with("/etc/pam_mfa/config.toml"), "{error}");
        assert!(error.contains(place), "{text:?}: {error}");
        assert!(error.contains(message), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_password_that_was_put_into_the_policy_is_not_quoted() {
    let error = parse("[email]\nsmtp = \"smtps://me:secret@mail\"").unwrap_err();
    assert!(error.contains("password_file") && !error.contains("secret"), "{error}");
}
