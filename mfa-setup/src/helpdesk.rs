//! What root does for somebody else: `bypass`, `disable`, `require`.

use mfa_protocol::Reply;
use mfa_protocol::message::Action;

use crate::cli;
use crate::json::helpdesk::MadeBypassAnswer;
use crate::problem::{DONE, Problem, say_hint};
use crate::session::{Session, printed};
use crate::text::helpdesk::bypass_made;

impl Session<'_> {
    /// `bypass`.
    pub fn bypass(&mut self, bypass: &cli::Bypass) -> Result<u8, Problem> {
        if bypass.revoke {
            let reply =
                self.manage_for(Some(&bypass.name), Action::RevokeBypass, "use a terminal")?;
            return self.done(reply);
        }
        let action = Action::MakeBypass { lifetime: bypass.lifetime.as_secs(), uses: bypass.uses };
        match self.manage_for(Some(&bypass.name), action, "use a terminal")? {
            Reply::BypassMade(made) => {
                let shown = self.answer(&MadeBypassAnswer::from(&*made), || bypass_made(&made));
                shown.map_err(|problem| {
                    let made = format!("a bypass code of {} is made", printed(&bypass.name));
                    problem.after(&made, "make it again once that is mended, which ends that one")
                })?;
                Ok(DONE)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `disable`.
    pub fn disable(&mut self, label: &str) -> Result<u8, Problem> {
        let action = Action::Disable { label: label.to_owned() };
        match self.manage(action, "use a terminal")? {
            Reply::Disabled { user, enabled } => {
                if enabled == 0 {
                    let user = printed(user.as_ref());
                    say_hint(&format!(
                        "{user} has no device now that is not disabled: a backup code lets in, or one that is made \
                         by: mfa-setup bypass {user}"
                    ));
                }
                self.say_done(&user)
            }
            _ => Err(Problem::unexpected_reply()),
        }
    }

    /// `require`.
    pub fn require(&mut self, require: &cli::Require) -> Result<u8, Problem> {
        let action = Action::Require { required: !require.off };
        let reply = self.manage_for(Some(&require.name), action, "use a terminal")?;
        self.done(reply)
    }
}
