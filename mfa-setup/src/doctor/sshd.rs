//! sshd's settings, as `sshd -T` prints them: whether each way in asks PAM, and whether PAM can ask there.

use mfa_protocol::message::Level;

/// The example that asks for a password and a code, among the documentation.
const EXAMPLE: &str = "the examples sshd_config.d of pam_mfa's documentation have what it takes; then: \
                       sshd -t, and reload sshd";

/// Methods that PAM's `auth` is not asked about, and the settings that allow them.
const WITHOUT_PAM: [(&str, &str); 3] = [
    ("publickey", "pubkeyauthentication"),
    ("hostbased", "hostbasedauthentication"),
    ("gssapi-with-mic", "gssapiauthentication"),
];

/// What is wrong with the settings, where sshd's stack asks for a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// PAM is asked nothing at all.
    NoPam,
    /// This method, or these, let in without PAM being asked.
    LetsIn(String),
    /// The method "password" can ask one question only, and the one that can ask more is not allowed.
    OneQuestion,
    /// These methods let nobody in, since this one of them is not allowed.
    LetsNobodyIn(String, &'static str),
}

impl Fault {
    pub(super) fn level(&self) -> Level {
        match self {
            // Who has the key may be trusted without a code.
            Self::LetsIn(_) => Level::Doubtful,
            Self::NoPam | Self::OneQuestion | Self::LetsNobodyIn(..) => Level::Bad,
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::NoPam => "it asks PAM nothing, so nobody is asked for a code: UsePAM no".to_owned(),
            Self::LetsIn(methods) => {
                format!("\"{methods}\" lets in without a code, since PAM is not asked then")
            }
            Self::OneQuestion => "whoever has enrolled and types a password is refused: the method \
                                  \"password\" asks one question, and KbdInteractiveAuthentication is \
                                  \"no\""
                .to_owned(),
            Self::LetsNobodyIn(methods, missing) => {
                format!("AuthenticationMethods {methods} lets nobody in: {missing} is \"no\"")
            }
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Self::NoPam => {
                "UsePAM yes in /etc/ssh/sshd_config; then: sshd -t, and reload sshd".to_owned()
            }
            Self::LetsIn(methods) if methods == "publickey" => {
                "for key and code: AuthenticationMethods publickey,keyboard-interactive".to_owned()
            }
            Self::LetsIn(methods) => {
                format!("for a code as well: AuthenticationMethods {methods},keyboard-interactive")
            }
            Self::OneQuestion => EXAMPLE.to_owned(),
            Self::LetsNobodyIn(_, missing) => {
                format!("{missing} yes in /etc/ssh/sshd_config; then: sshd -t, and reload sshd")
            }
        }
    }
}

/// Looks at the settings; `forward_pass`: the code comes with the password.
pub(super) fn faults(settings: &str, forward_pass: bool) -> Vec<Fault> {
    let setting = |name: &str| {
        let lines = settings.lines().filter_map(|line| line.split_once(' '));
        lines
            .into_iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let allows = |name: &str| setting(name) == Some("yes");
    if !allows("usepam") {
        return vec![Fault::NoPam];
    }
    // Before 8.7 OpenSSH had two settings for it, and needs both.
    let many_questions = allows("kbdinteractiveauthentication")
        && setting("challengeresponseauthentication").is_none_or(|value| value == "yes");
    let passwords = allows("passwordauthentication");
    let lists = setting("authenticationmethods").unwrap_or("any");
    if lists == "any" {
        let mut faults = vec![];
        if passwords && !many_questions && !forward_pass {
            faults.push(Fault::OneQuestion);
        }
        let without = WITHOUT_PAM.into_iter().filter(|(_, allowed)| allows(allowed));
        faults.extend(without.map(|(method, _)| Fault::LetsIn(method.to_owned())));
        return faults;
    }
    let mut faults = vec![];
    for list in lists.split_whitespace() {
        // "keyboard-interactive:pam" names the device.
        let methods = || list.split(',').map(|method| method.split(':').next().unwrap_or_default());
        let has = |wanted: &str| methods().any(|method| method == wanted);
        if has("keyboard-interactive") && !many_questions {
            let missing = "KbdInteractiveAuthentication";
            faults.push(Fault::LetsNobodyIn(list.to_owned(), missing));
        } else if has("password") && !passwords {
            faults.push(Fault::LetsNobodyIn(list.to_owned(), "PasswordAuthentication"));
        } else if has("password") && !forward_pass {
            faults.push(Fault::OneQuestion);
        } else if !has("keyboard-interactive") && !has("password") {
            faults.push(Fault::LetsIn(list.to_owned()));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(settings: &str) -> Vec<Fault> {
        faults(&format!("port 22\nusepam yes\n{settings}"), false)
    }

    fn lets_in(methods: &str) -> Fault {
        Fault::LetsIn(methods.to_owned())
    }

    const KEYS: &str = "pubkeyauthentication yes\n";
    const PASSWORDS: &str = "passwordauthentication yes\n";
    const QUESTIONS: &str = "kbdinteractiveauthentication yes\n";

    #[test]
    fn the_examples_have_no_fault() {
        for methods in ["keyboard-interactive", "publickey,keyboard-interactive:pam"] {
            let settings = format!("{KEYS}{QUESTIONS}authenticationmethods {methods}\n");
            assert_eq!(found(&settings), []);
        }
        let settings = format!("usepam yes\n{PASSWORDS}authenticationmethods password\n");
        assert_eq!(faults(&settings, true), []);
    }

    #[test]
    fn debians_own_settings_refuse_passwords_and_let_keys_in() {
        let settings = format!("{KEYS}{PASSWORDS}kbdinteractiveauthentication no\n");
        assert_eq!(found(&settings), [Fault::OneQuestion, lets_in("publickey")]);
        let with_any = format!("{settings}authenticationmethods any\n");
        assert_eq!(found(&with_any), found(&settings));
        // The code comes with the password.
        let forwards = faults(&format!("usepam yes\n{settings}"), true);
        assert_eq!(forwards, [lets_in("publickey")]);
    }

    #[test]
    fn a_method_that_pam_knows_nothing_of_lets_in() {
        let settings =
            format!("{QUESTIONS}{KEYS}gssapiauthentication yes\nhostbasedauthentication yes\n");
        let all = ["publickey", "hostbased", "gssapi-with-mic"].map(lets_in);
        assert_eq!(found(&settings), all);
        let lists = format!(
            "{settings}authenticationmethods publickey,publickey publickey,keyboard-interactive\n"
        );
        assert_eq!(found(&lists), [lets_in("publickey,publickey")]);
    }

    #[test]
    fn a_method_that_is_not_allowed_lets_nobody_in() {
        let list = "authenticationmethods publickey,keyboard-interactive\n";
        let nobody = |list: &str, missing| [Fault::LetsNobodyIn(list.to_owned(), missing)];
        let missing = "KbdInteractiveAuthentication";
        for settings in [
            "kbdinteractiveauthentication no\n".to_owned(),
            // OpenSSH 8.4.
            format!("{QUESTIONS}challengeresponseauthentication no\n"),
        ] {
            let found = found(&format!("{settings}{KEYS}{list}"));
            assert_eq!(found, nobody("publickey,keyboard-interactive", missing));
        }
        let settings =
            format!("{QUESTIONS}passwordauthentication no\nauthenticationmethods password\n");
        assert_eq!(found(&settings), nobody("password", "PasswordAuthentication"));
        let settings = format!("{QUESTIONS}{PASSWORDS}authenticationmethods publickey,password\n");
        assert_eq!(found(&settings), [Fault::OneQuestion]);
    }

    #[test]
    fn without_pam_nothing_else_matters() {
        assert_eq!(faults(&format!("usepam no\n{KEYS}{PASSWORDS}"), false), [Fault::NoPam]);
        // Built without it, sshd has no such setting.
        assert_eq!(faults(KEYS, false), [Fault::NoPam]);
    }
}
