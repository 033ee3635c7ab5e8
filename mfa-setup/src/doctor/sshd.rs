//! sshd's settings, as `sshd -T` prints them: whether each way in asks PAM, and whether PAM can ask there.

use mfa_protocol::message::{Asking, Level};

/// What to do about most of it. A line behind one that sets the same has no effect, and distributions have
/// files that are taken in first.
const EXAMPLES: &str = "copy pam_mfa-password.conf, or pam_mfa-key.conf together with pam.d/sshd-key, of the examples \
                        beside pam_mfa's documentation to /etc/ssh/sshd_config.d/10-pam_mfa.conf; then: sshd -t, and \
                        reload sshd";

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
    /// These methods, each of them, let in without PAM being asked.
    LetIn(Vec<String>),
    /// This lets in who has nothing but a code.
    CodeAlone(String),
    /// The method "password" can ask one question only.
    OneQuestion,
    /// These methods let nobody in, since one of them is not allowed.
    LetsNobodyIn(String),
}

impl Fault {
    pub(super) fn level(&self) -> Level {
        match self {
            // Who has the key may be trusted without a code, and there may be other ways in.
            Self::LetIn(_) | Self::LetsNobodyIn(_) => Level::Warning,
            Self::NoPam | Self::CodeAlone(_) | Self::OneQuestion => Level::Problem,
        }
    }

    pub(super) fn found(&self) -> String {
        match self {
            Self::NoPam => "it asks PAM nothing, so nobody is asked for a code: UsePAM no".to_owned(),
            Self::LetIn(methods) => {
                format!("PAM is not asked, and no code is, of who comes by: {}", methods.join(" · "))
            }
            Self::CodeAlone(methods) => format!(
                "who comes by {methods} needs a code and nothing else: the stack asks for no password"
            ),
            Self::OneQuestion => "whoever has enrolled and types a password is refused: the method \
                                  \"password\" can ask one question only, and no other is allowed to"
                .to_owned(),
            Self::LetsNobodyIn(methods) => format!(
                "AuthenticationMethods {methods} lets nobody in, since one of them is not allowed"
            ),
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Self::NoPam => "UsePAM yes, in /etc/ssh/sshd_config.d/10-pam_mfa.conf; then: sshd -t, and reload sshd"
                .to_owned(),
            Self::CodeAlone(_) => "AuthenticationMethods publickey,keyboard-interactive, in \
                                   /etc/ssh/sshd_config.d/10-pam_mfa.conf; or the example pam.d/sshd, whose stack asks \
                                   for the password; then: sshd -t, and reload sshd"
                .to_owned(),
            Self::LetIn(_) | Self::OneQuestion | Self::LetsNobodyIn(_) => EXAMPLES.to_owned(),
        }
    }
}

/// The PAM service that it asks, where that is set: OpenSSH 9.8 and later.
pub(super) fn service(settings: &str) -> Option<&str> {
    setting(settings, "pamservicename").filter(|name| *name != "none")
}

/// The value of a setting.
fn setting<'a>(settings: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = settings.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Looks at the settings beside what the stack asks.
pub(super) fn faults(settings: &str, asked: &Asking) -> Vec<Fault> {
    let allows = |name: &str| setting(settings, name) == Some("yes");
    if !allows("usepam") {
        return vec![Fault::NoPam];
    }
    // Before 8.7 OpenSSH had two settings for it, and needs both.
    let questions = allows("kbdinteractiveauthentication")
        && setting(settings, "challengeresponseauthentication").is_none_or(|value| value == "yes");
    let passwords = allows("passwordauthentication");
    // Kerberos judges the password itself, before PAM.
    let kerberos = passwords && allows("kerberosauthentication");
    let lists = setting(settings, "authenticationmethods").unwrap_or("any");
    let (mut faults, mut let_in) = (vec![], vec![]);
    if lists == "any" {
        if passwords && !questions && !asked.forward_pass && !kerberos {
            faults.push(Fault::OneQuestion);
        }
        if questions && asked.code_alone {
            faults.push(Fault::CodeAlone("keyboard-interactive".to_owned()));
        }
        let without = WITHOUT_PAM.into_iter().filter(|(_, allowed)| allows(allowed));
        let_in.extend(without.map(|(method, _)| method.to_owned()));
        let_in.extend(kerberos.then(|| "password (of Kerberos)".to_owned()));
    } else {
        for list in lists.split_whitespace() {
            // "keyboard-interactive:pam" names the device.
            let methods =
                list.split(',').map(|method| method.split(':').next().unwrap_or_default());
            let methods: Vec<&str> = methods.collect();
            let has = |wanted: &str| methods.contains(&wanted);
            let (asks, types) = (has("keyboard-interactive"), has("password"));
            let is_first = WITHOUT_PAM.iter().any(|(method, _)| has(method));
            if asks && !questions || types && !passwords {
                faults.push(Fault::LetsNobodyIn(list.to_owned()));
            } else if !asks && (!types || kerberos) {
                let_in.push(list.to_owned());
            } else if !asks && !asked.forward_pass {
                if !faults.contains(&Fault::OneQuestion) {
                    faults.push(Fault::OneQuestion);
                }
            } else if asked.code_alone && !is_first && !(types && kerberos) {
                faults.push(Fault::CodeAlone(list.to_owned()));
            }
        }
    }
    if !let_in.is_empty() {
        faults.push(Fault::LetIn(let_in));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stack of the example `sshd`.
    fn asked() -> Asking {
        Asking { service: "sshd".to_owned(), forward_pass: false, code_alone: false }
    }

    fn found(settings: &str) -> Vec<Fault> {
        faults(&format!("port 22\nusepam yes\n{settings}"), &asked())
    }

    fn let_in<const N: usize>(methods: [&str; N]) -> Fault {
        Fault::LetIn(methods.map(str::to_owned).to_vec())
    }

    const KEYS: &str = "pubkeyauthentication yes\n";
    const PASSWORDS: &str = "passwordauthentication yes\n";
    const QUESTIONS: &str = "kbdinteractiveauthentication yes\n";

    #[test]
    fn the_examples_have_no_fault() {
        let settings = format!("{KEYS}{QUESTIONS}authenticationmethods keyboard-interactive\n");
        assert_eq!(found(&settings), []);
        let methods = "authenticationmethods publickey,keyboard-interactive:pam\n";
        let of_keys = Asking { code_alone: true, ..asked() };
        assert_eq!(faults(&format!("usepam yes\n{KEYS}{QUESTIONS}{methods}"), &of_keys), []);
        let forwards = Asking { forward_pass: true, ..asked() };
        let settings = format!("usepam yes\n{PASSWORDS}authenticationmethods password\n");
        assert_eq!(faults(&settings, &forwards), []);
    }

    #[test]
    fn debians_own_settings_refuse_passwords_and_let_keys_in() {
        let settings = format!("{KEYS}{PASSWORDS}kbdinteractiveauthentication no\n");
        assert_eq!(found(&settings), [Fault::OneQuestion, let_in(["publickey"])]);
        let with_any = format!("{settings}authenticationmethods any\n");
        assert_eq!(found(&with_any), found(&settings));
        // The code comes with the password.
        let forwards = Asking { forward_pass: true, ..asked() };
        assert_eq!(faults(&format!("usepam yes\n{settings}"), &forwards), [let_in(["publickey"])]);
    }

    #[test]
    fn a_method_that_pam_knows_nothing_of_lets_in() {
        let settings =
            format!("{QUESTIONS}{KEYS}gssapiauthentication yes\nhostbasedauthentication yes\n");
        assert_eq!(found(&settings), [let_in(["publickey", "hostbased", "gssapi-with-mic"])]);
        let lists =
            "authenticationmethods publickey,publickey hostbased publickey,keyboard-interactive\n";
        let found_in_lists = found(&format!("{settings}{lists}"));
        assert_eq!(found_in_lists, [let_in(["publickey,publickey", "hostbased"])]);
        // Kerberos judges a password before PAM does.
        let kerberos = format!("{QUESTIONS}{PASSWORDS}kerberosauthentication yes\n");
        assert_eq!(found(&kerberos), [let_in(["password (of Kerberos)"])]);
        let lists = format!("{kerberos}authenticationmethods password\n");
        assert_eq!(found(&lists), [let_in(["password"])]);
    }

    #[test]
    fn a_stack_for_keys_without_keys_is_a_code_and_nothing_else() {
        let of_keys = Asking { code_alone: true, ..asked() };
        let code_alone = Fault::CodeAlone("keyboard-interactive".to_owned());
        let lists = "authenticationmethods keyboard-interactive publickey,keyboard-interactive\n";
        for settings in
            [format!("usepam yes\n{QUESTIONS}"), format!("usepam yes\n{QUESTIONS}{KEYS}{lists}")]
        {
            assert_eq!(faults(&settings, &of_keys), std::slice::from_ref(&code_alone));
        }
    }

    #[test]
    fn a_method_that_is_not_allowed_lets_nobody_in() {
        let nobody = |list: &str| Fault::LetsNobodyIn(list.to_owned());
        // OpenSSH 8.4, which looks at one of the two alone.
        let of_old = "challengeresponseauthentication no\n\
                      authenticationmethods publickey,keyboard-interactive\n";
        let found_in_old = found(&format!("{KEYS}{QUESTIONS}{of_old}"));
        assert_eq!(found_in_old, [nobody("publickey,keyboard-interactive")]);
        let lists = "authenticationmethods password keyboard-interactive\n";
        let without = found(&format!("{QUESTIONS}passwordauthentication no\n{lists}"));
        assert_eq!(without, [nobody("password")]);
        let lists = "authenticationmethods publickey,password password\n";
        assert_eq!(found(&format!("{QUESTIONS}{PASSWORDS}{lists}")), [Fault::OneQuestion]);
    }

    #[test]
    fn without_pam_nothing_else_matters() {
        assert_eq!(faults(&format!("usepam no\n{KEYS}{PASSWORDS}"), &asked()), [Fault::NoPam]);
        // Built without it, sshd has no such setting.
        assert_eq!(faults(KEYS, &asked()), [Fault::NoPam]);
    }

    #[test]
    fn the_service_may_have_another_name() {
        assert_eq!(service("port 22\n"), None);
        assert_eq!(service("port 22\npamservicename ssh-outside\n"), Some("ssh-outside"));
    }
}
