//! What would open a router that runs to others than it is open to.

use std::path::PathBuf;

use crate::failure::Failure;

/// Options that say where and by whom the router can be reached, and wait for another start.
const OF_REACH: [&str; 4] = ["listen", "mode", "group", "allow-origin"];

/// What a router that runs holds against whoever comes.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) has_policy: bool,
    /// It says who comes in to whom no rule applies.
    pub(super) says_others: bool,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) no_pickle_from: Vec<String>,
    /// Whoever bears a name keeps it as long as it lives.
    pub(super) keeps_names: bool,
    /// Something says who keeps a name, and it is not left to the default.
    pub(super) says_names: bool,
}

impl Standing {
    /// Refuses what would take away from it by what a file does not say, as one that somebody is
    /// still writing; and what would hold for endpoints that it was not written for: those of
    /// `waiting` come when the router starts again. `is_another`: the policy is not the one that
    /// holds; `in_force`: the lines that set options as they are.
    pub(super) fn check(
        &self,
        fresh: &Self,
        is_another: bool,
        waiting: &[String],
        in_force: impl Fn(&[&str]) -> Vec<String>,
    ) -> Result<(), Failure> {
        let refuse = |what: String| Err(Failure::Usage(what));
        let open = |what: String| refuse(format!("{what}. With this file the router starts open: mend it now"));
        if self.has_policy && !fresh.has_policy {
            return open(
                "the file has no [policy] any more, and this router has one: to open it to all, write [policy] with \
                 others = \"everybody\""
                    .to_owned(),
            );
        }
        if self.says_others && !fresh.says_others {
            return open(
                "[policy] does not say others any more, and so lets those in who come from this machine: say others = \
                 \"local\" if that is meant"
                    .to_owned(),
            );
        }
        if self.client_ca.is_some() && fresh.client_ca.is_none() {
            return open(
                "client-ca is not set any more, and this router lets only those in who show a certificate: set it again, \
                 or start the router again to let everybody in"
                    .to_owned(),
            );
        }
        if !self.no_pickle_from.is_empty() && fresh.no_pickle_from.is_empty() {
            return open(format!(
                "no-pickle-from is not set any more, and this router refuses PICKLE from {}: set it again, or start the \
                 router again to take PICKLE from everybody",
                self.no_pickle_from.join(", ")
            ));
        }
        if self.keeps_names && !fresh.says_names {
            return open(
                "name-policy is not set any more, and so whoever comes takes a name from the one that bears it, which this \
                 router refuses: say name-policy = \"newest\" if that is meant"
                    .to_owned(),
            );
        }
        let reach: Vec<_> = waiting.iter().map(String::as_str).filter(|option| OF_REACH.contains(option)).collect();
        let loosened = self.find_loosened(fresh, is_another);
        if reach.is_empty() || loosened.is_empty() {
            return Ok(());
        }
        let lines = in_force(&reach).join(" and ");
        let (reach, loosened) = (reach.join(", "), loosened.join(", "));
        refuse(format!(
            "the file has another {reach}, which waits for another start, and {loosened} beside it, which would hold at \
             once for those who come now: start the router again, or let {reach} be as when it started: {lines}"
        ))
    }

    /// What may keep out less than before.
    fn find_loosened(&self, fresh: &Self, is_another: bool) -> Vec<&'static str> {
        let takes_more = self.no_pickle_from.iter().any(|network| !fresh.no_pickle_from.contains(network));
        [
            (self.has_policy && is_another, "[policy]"),
            (self.client_ca.is_some() && self.client_ca != fresh.client_ca, "client-ca"),
            (takes_more, "no-pickle-from"),
        ]
        .into_iter()
        .filter_map(|(is, what)| is.then_some(what))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(has_policy: bool, client_ca: Option<&str>, no_pickle_from: &[&str]) -> Standing {
        let no_pickle_from = no_pickle_from.iter().map(|&network| network.to_owned()).collect();
        let client_ca = client_ca.map(PathBuf::from);
        let (keeps_names, says_names) = (false, false);
        Standing { has_policy, says_others: false, client_ca, no_pickle_from, keeps_names, says_names }
    }

    #[test]
    fn names_that_are_kept_are_not_given_up_by_a_line_that_is_left_out() {
        let names = |keeps_names, says_names| Standing { keeps_names, says_names, ..standing(false, None, &[]) };
        let refused = names(true, true).check(&names(false, false), false, &[], set).unwrap_err();
        assert!(refused.sentence().contains("name-policy is not set any more"), "{refused:?}");
        for (before, fresh) in
            [((true, true), (false, true)), ((false, true), (false, false)), ((true, true), (true, true))]
        {
            names(before.0, before.1).check(&names(fresh.0, fresh.1), false, &[], set).unwrap();
        }
    }

    fn set(options: &[&str]) -> Vec<String> {
        options.iter().map(|option| format!("{option} = \"x\"")).collect()
    }

    /// A file that was cut has the head of its last section, and no more of it.
    #[test]
    fn a_policy_that_says_nothing_any_more_is_refused() {
        let said = |says_others| Standing { says_others, ..standing(true, None, &[]) };
        let refused = said(true).check(&said(false), true, &[], set).unwrap_err();
        assert!(refused.sentence().contains("does not say others any more"), "{refused:?}");
        for (before, fresh) in [(false, false), (false, true), (true, true)] {
            said(before).check(&said(fresh), true, &[], set).unwrap();
        }
    }

    #[test]
    fn what_opens_a_router_is_refused() {
        let closed = || standing(true, Some("ca.pem"), &["192.0.2.0/24", "::/0"]);
        let (listen, share) = (["listen".to_owned()], ["share".to_owned()]);
        for (fresh, is_another, waiting, told) in [
            (standing(false, Some("ca.pem"), &["::/0"]), true, &share, "no [policy] any more"),
            (standing(true, None, &["::/0"]), false, &share, "client-ca is not set any more"),
            (standing(true, Some("ca.pem"), &[]), false, &share, "PICKLE from 192.0.2.0/24, ::/0: set it again"),
            (
                closed(),
                true,
                &listen,
                "and [policy] beside it, which would hold at once for those who come now: start the router \
             again, or let listen be as when it started: listen = \"x\"",
            ),
            (standing(true, Some("other.pem"), &["::/0"]), true, &listen, "[policy], client-ca, no-pickle-from beside"),
        ] {
            let refused = closed().check(&fresh, is_another, waiting, set).unwrap_err();
            assert!(refused.sentence().contains(told), "{fresh:?}: {refused:?}");
        }
    }

    #[test]
    fn what_closes_a_router_or_is_said_for_where_it_listens_holds() {
        let closed = || standing(true, Some("ca.pem"), &["192.0.2.0/24"]);
        let (listen, none) = (vec!["listen".to_owned()], Vec::new());
        for (before, fresh, is_another, waiting) in [
            (closed(), closed(), true, &none),
            (closed(), closed(), false, &listen),
            (closed(), standing(true, Some("other.pem"), &["::/0"]), true, &none),
            (closed(), standing(true, Some("ca.pem"), &["192.0.2.0/24", "::/0"]), false, &listen),
            (standing(false, None, &[]), closed(), true, &listen),
        ] {
            before.check(&fresh, is_another, waiting, set).unwrap_or_else(|refused| panic!("{fresh:?}: {refused:?}"));
        }
    }
}
