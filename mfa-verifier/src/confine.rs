//! What a peer that is not root may ask: about its own record, and nothing that it claims about its
//! login is believed.

use std::io;

use mfa_protocol::message::{Failure, FailureKind, LoginRequest, ManageRequest, Request};
use mfa_protocol::{Outcome, Reply, Verdict};

use crate::failure::{failure, of_users};
use crate::store::Owner;
use crate::users::Users;

/// The service of a login that somebody asks for who is not root: a screen locker names itself as it
/// likes, so it is one for policy and log. No service file has this name.
pub const SERVICE: &str = "unprivileged";

/// The request with what is not to be believed taken out; or the refusal of it.
///
/// Believed is what only changes the words or what the peer itself makes of the outcome: prompt,
/// echo, `nullok`, a password to be tried.
pub fn confine(request: Request, peer: &Owner, users: &dyn Users) -> Result<Request, Box<Reply>> {
    match request {
        // A locker may show no texts, and another program of the user may hide them.
        Request::Login(claimed) | Request::Unseen(claimed) => {
            match is(users, &claimed.user, peer) {
                Ok(true) => Ok(Request::Unseen(Box::new(LoginRequest {
                    user: peer.name.clone().into_bytes(),
                    service: SERVICE.to_owned(),
                    rhost: None,
                    tty: None,
                    ruser: None,
                    ssh_auth_info: None,
                    password_given: false,
                    debug: false,
                    ..*claimed
                }))),
                Ok(false) => Err(outcome(Verdict::Denied)),
                Err(_) => Err(outcome(Verdict::Unavailable)),
            }
        }
        Request::Manage(claimed) => {
            let own = claimed.user.as_ref().map_or(Ok(true), |name| is(users, name, peer));
            match own {
                Ok(true) => {
                    Ok(Request::Manage(ManageRequest { user: None, action: claimed.action }))
                }
                // The same words whether there is such a user or not.
                Ok(false) => Err(Box::new(Reply::Failed(not_own()))),
                Err(error) => Err(Box::new(Reply::Failed(of_users(&error)))),
            }
        }
    }
}

fn is(users: &dyn Users, name: &[u8], peer: &Owner) -> io::Result<bool> {
    Ok(users.by_name(name)?.is_some_and(|owner| owner.uid == peer.uid))
}

fn not_own() -> Failure {
    failure(
        FailureKind::NotPermitted,
        "another user's record is root's to look at and to change",
        "leave --user out, or run this as root",
    )
}

fn outcome(verdict: Verdict) -> Box<Reply> {
    Box::new(Reply::Outcome(Outcome { verdict, user: None, factor: None, label: None }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mfa_protocol::message::Action;
    use std::collections::BTreeSet;

    struct Two;

    impl Users for Two {
        fn by_name(&self, name: &[u8]) -> io::Result<Option<Owner>> {
            Ok(match name {
                b"alice" | b"alice@example.org" => Some(alice()),
                b"bob" => Some(Owner { uid: 1001, name: "bob".to_owned() }),
                b"down" => return Err(io::Error::other("down")),
                _ => None,
            })
        }

        fn by_uid(&self, _: u32) -> io::Result<Option<Owner>> {
            Ok(None)
        }

        fn groups(&self, _: &[u8], _: &BTreeSet<&str>) -> io::Result<BTreeSet<String>> {
            Ok(BTreeSet::new())
        }

        fn has_group(&self, _: &str) -> io::Result<bool> {
            Ok(false)
        }
    }

    fn alice() -> Owner {
        Owner { uid: 1000, name: "alice".to_owned() }
    }

    fn manage(user: Option<&str>) -> Result<Request, Box<Reply>> {
        let user = user.map(|name| name.as_bytes().to_vec());
        confine(Request::Manage(ManageRequest { user, action: Action::Status }), &alice(), &Two)
    }

    fn login(user: &str) -> Result<Request, Box<Reply>> {
        let request = LoginRequest {
            user: user.as_bytes().to_vec(),
            service: "sshd".to_owned(),
            rhost: Some("192.0.2.7".to_owned()),
            tty: Some("ssh".to_owned()),
            ruser: Some("root".to_owned()),
            ssh_auth_info: Some("publickey ssh-ed25519 AAAA".to_owned()),
            password_given: true,
            nullok: true,
            debug: true,
            ..LoginRequest::default()
        };
        confine(Request::Login(Box::new(request)), &alice(), &Two)
    }

    #[test]
    fn nothing_that_is_claimed_about_a_login_is_believed() {
        for name in ["alice", "alice@example.org"] {
            let Ok(Request::Unseen(request)) = login(name) else { panic!("{name}") };
            assert_eq!(
                (request.user.as_slice(), request.service.as_str()),
                (&b"alice"[..], SERVICE)
            );
            assert_eq!((&request.rhost, &request.tty, &request.ruser), (&None, &None, &None));
            assert_eq!((&request.ssh_auth_info, request.password_given), (&None, false));
            assert!(request.nullok && !request.debug);
        }
    }

    #[test]
    fn a_record_of_another_user_or_of_nobody_is_refused_in_the_same_words() {
        let refused = |name| match *manage(Some(name)).unwrap_err() {
            Reply::Failed(failure) => failure,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused("bob").kind, FailureKind::NotPermitted);
        assert_eq!(refused("bob"), refused("nobody at all"));
        assert_eq!(refused("down").kind, FailureKind::Unusable);
        for (name, verdict) in
            [("bob", Verdict::Denied), ("x", Verdict::Denied), ("down", Verdict::Unavailable)]
        {
            let Reply::Outcome(outcome) = *login(name).unwrap_err() else { panic!("{name}") };
            assert_eq!(outcome.verdict, verdict, "{name}");
        }
    }

    #[test]
    fn the_own_record_is_the_callers_by_whatever_name() {
        for name in [None, Some("alice"), Some("alice@example.org")] {
            let Ok(Request::Manage(request)) = manage(name) else { panic!("{name:?}") };
            assert_eq!(request.user, None);
        }
    }
}
