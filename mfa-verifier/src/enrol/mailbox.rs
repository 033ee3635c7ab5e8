//! An address, from what somebody types to one that they have shown to read.
//!
//! The code that is sent is kept, hashed, in the record for two hours: who leaves to look for the mail, or
//! is interrupted, comes back to the same question. It is bound to the address, which itself is kept only
//! with the device.

use mfa_protocol::escape::escape;
use mfa_protocol::message::{Failure, FailureKind};
use mfa_protocol::{Conversation, Prompt, REAUTH_SERVICE, Style};

use super::TRIES;
use crate::audit::timestamp;
use crate::change::load;
use crate::factor::Typed;
use crate::factor::mail_code::{ADDRESS_LIFETIME, Finding, LENGTH, NewCode, NotSent, Sources, Use};
use crate::failure::{failure, of_codes, of_conversation, of_store, usage};
use crate::mail::{Address, Letter, Occasion};
use crate::record::MovingFactor;
use crate::store::{self, Change, Owner};
use crate::world::World;

/// Who sends to the address; without one there are no devices that codes are sent to.
pub(super) fn sender<'a>(world: &'a World) -> Result<&'a Address, Failure> {
    world.config.email.from.as_ref().ok_or_else(|| {
        usage(
            "no mail is sent from this host",
            "choose another kind of device; the administrator can name a sender in [email]",
        )
    })
}

/// Asks for an address until a code that was sent there comes back.
pub(super) fn verified(
    world: &World,
    owner: &Owner,
    conversation: &mut dyn Conversation,
) -> Result<MovingFactor, Failure> {
    let address = ask(world, owner, conversation)?;
    if load(world, owner)?.mail_codes.confirms((world.now)()) {
        let text = "A code was sent already. Press Enter alone to have another one sent.";
        conversation.tell(Style::Info, text);
    } else {
        send(world, owner, &address, conversation)?;
    }
    for _ in 0..TRIES {
        let prompt = Prompt::visible(format!("The code that was sent to {address}: "));
        let answer = conversation.ask(&prompt).map_err(of_conversation)?.into_text();
        let told = match Typed::of(answer.expose()) {
            Typed::Empty => {
                send(world, owner, &address, conversation)?;
                continue;
            }
            Typed::OneTimeCode(code) => match judge(world, owner, &address, &code)? {
                Finding::Right(_) => return Ok(MovingFactor::Sent { address }),
                Finding::Wrong => "That code is not right.".to_owned(),
                Finding::None => {
                    "No code that was sent is good any more. Press Enter alone for another one."
                        .to_owned()
                }
                Finding::Barred(until) => {
                    return Err(not_before("too many codes were wrong", until));
                }
            },
            _ => format!("A code has {LENGTH} digits."),
        };
        conversation.tell(Style::Error, &told);
    }
    Err(failure(
        FailureKind::Refused,
        "no right code was given",
        "nothing was changed; the code that was sent stays good for two hours",
    ))
}

/// The address that was typed, or the one that an organisation gives everybody.
fn ask(
    world: &World,
    owner: &Owner,
    conversation: &mut dyn Conversation,
) -> Result<Address, Failure> {
    let template = world.config.email.address.as_ref();
    let usual = template.and_then(|template| template.fill(&owner.name).ok());
    let text = match &usual {
        Some(usual) => format!("E-mail address [{usual}]: "),
        None => "E-mail address: ".to_owned(),
    };
    for _ in 0..TRIES {
        let answer = conversation.ask(&Prompt::visible(text.as_str())).map_err(of_conversation)?;
        let answer = answer.into_text();
        let typed = answer.expose_str().map_or("\u{fffd}", str::trim);
        let told = match (typed, &usual) {
            ("", Some(usual)) => return Ok(usual.clone()),
            (typed, _) => match Address::parse(typed) {
                Ok(address) => return Ok(address),
                Err(error) => format!("\"{}\" is no address: {error}.", escape(typed)),
            },
        };
        conversation.tell(Style::Error, &told);
    }
    Err(failure(FailureKind::Refused, "no address was given", "nothing was changed"))
}

/// Notes a new code and sends it. Here it is waited for: who is asked has shown who they are.
fn send(
    world: &World,
    owner: &Owner,
    address: &Address,
    conversation: &mut dyn Conversation,
) -> Result<(), Failure> {
    let code = NewCode::new(LENGTH, Use::Address(address.as_str()))
        .map_err(|error| of_codes(&error.into()))?;
    let per_hour = world.config.email.per_hour;
    let now = store::update(world.store_to_enrol_in()?, owner, |mut record| {
        let now = (world.now)();
        let codes = &mut record.mail_codes;
        let noted = codes.note_sent(&code, ADDRESS_LIFETIME, Sources::Local, per_hour, now);
        record.fit();
        Change::Save(record, noted.map(|()| now))
    })
    .map_err(|error| of_store(&error))?
    .map_err(|why| match why {
        NotSent::TooMany(until) => not_before("too many mails were sent", until),
        NotSent::Barred(until) => not_before("too many codes were wrong", until),
    })?;
    let at = Occasion {
        host: world.hostname,
        user: &owner.name,
        service: REAUTH_SERVICE,
        source: "local",
        now,
    };
    let letter = Letter::address_code(address, &code.code, ADDRESS_LIFETIME, &at);
    // The mailer has most of the time that a face waits.
    conversation.keep_waiting();
    let Err(error) = world.mailer.send(&letter) else { return Ok(()) };
    // Or who tries again would be told that one was sent.
    store::update(world.store_to_enrol_in()?, owner, |mut record| {
        record.mail_codes.take_back(&code, Sources::Local);
        Change::Save(record, ())
    })
    .map_err(|error| of_store(&error))?;
    Err(failure(FailureKind::Unusable, error.to_string(), error.hint()))
}

fn judge(world: &World, owner: &Owner, address: &Address, code: &str) -> Result<Finding, Failure> {
    store::update(world.store_to_enrol_in()?, owner, |mut record| {
        let good_for = [Use::Address(address.as_str())];
        let finding = record.mail_codes.judge(code, &good_for, Sources::Local, (world.now)());
        record.fit();
        Change::Save(record, finding)
    })
    .map_err(|error| of_store(&error))
}

fn not_before(what: &str, until: u64) -> Failure {
    failure(
        FailureKind::Refused,
        format!("{what}; not before {}", timestamp(until)),
        "nothing was changed; wait",
    )
}
