//! What policy makes of mailboxes: what is right from an address at which a user was not seen, and to whom
//! it lends a mailbox.

use std::borrow::Cow;

use mfa_protocol::Secret;
use mfa_protocol::message::Algorithm;

use super::Situation;
use crate::config::{Config, Methods};
use crate::factor::mail_code::LENGTH;
use crate::record::{Device, MovingFactor, UserRecord};
use crate::source::Source;

/// The number of a device that policy lends; those of a record begin with 1.
pub const LENT: u32 = 0;

/// What such a device is called.
const LENT_LABEL: &str = "e-mail";

/// The same configuration, or where the user comes from an address at which they were not seen, one that
/// accepts what has to be had elsewhere: a code that is sent, a backup code; and a token, which is for
/// scripts and says itself from where it is good. `record` is the user's, `lent` what is [`lent`] to
/// them.
#[must_use]
pub fn from_there<'a>(
    config: &'a Config,
    situation: &Situation,
    record: &UserRecord,
    lent: Option<&Device>,
) -> Cow<'a, Config> {
    if !is_unseen(config, situation, record, lent) {
        return Cow::Borrowed(config);
    }
    let mut config = config.clone();
    let Methods { backup_code, token, email, .. } = config.policy.methods;
    config.policy.methods = Methods { backup_code, token, email, ..Methods::NONE };
    config.policy.unseen = true;
    Cow::Owned(config)
}

/// Whether policy wants to know more of the user for not having seen them there.
fn is_unseen(
    config: &Config,
    situation: &Situation,
    record: &UserRecord,
    lent: Option<&Device>,
) -> bool {
    let policy = &config.policy;
    // Who has nothing looks like who has an app, and has one who enrols it at the login. An app that is
    // disabled is one: or whoever has the phone, and the mail on it, would get in by that for want of the app.
    let nothing = !record.is_enrolled() && lent.is_none();
    let has_app = nothing || record.devices.iter().any(|device| device.address().is_none());
    policy.verify_new_address
        && !(policy.new_address_exempts_enrolled && has_app)
        && is_new(config, situation, record)
}

/// Whether the user was not seen there. A remote host without an address is always new; this host never
/// is.
fn is_new(config: &Config, situation: &Situation, record: &UserRecord) -> bool {
    let (source, lockout) = (situation.source, &config.lockout);
    source != Source::Local && !record.lockout.is_known(source, situation.now, lockout)
}

/// The device that policy lends to who has none that codes are sent to: the mailbox that an organisation
/// gives everybody. To who has not enrolled at all it stands for all others; to who has, it is lent only
/// to show who they are at a new address.
#[must_use]
pub fn lent(
    config: &Config,
    situation: &Situation,
    user: &str,
    record: &UserRecord,
) -> Option<Device> {
    let template = config.email.address.as_ref().filter(|_| config.policy.methods.email)?;
    let addressed = record.devices.iter().any(|device| device.address().is_some());
    if addressed || record.is_enrolled() && !is_unseen(config, situation, record, None) {
        return None;
    }
    Some(Device {
        id: LENT,
        label: LENT_LABEL.to_owned(),
        key: Secret::default(),
        algorithm: Algorithm::Sha1,
        digits: LENGTH,
        moving: MovingFactor::Sent { address: template.fill(user).ok()? },
        added: 0,
        last_used: None,
        failures: 0,
        disabled: false,
    })
}
