use std::collections::VecDeque;

use daffi_wire::credit_cost;
use proptest::prelude::*;

use super::*;

type Senders = Receiving<usize, std::hash::RandomState>;

fn grant(flow: u32, worked_off: u64, window: u32) -> Grant {
    Grant::new(FlowId(flow), worked_off, window).unwrap()
}

#[test]
fn a_request_larger_than_the_window_passes_alone() {
    let mut flow = Outgoing::new(FlowId(1));
    assert!(flow.pay(356), "100 bytes");
    assert!(!flow.pay(1 << 20), "not before them");
    assert!(flow.take_grant(grant(1, 356, FIRST_WINDOW)));
    assert!(flow.pay(1 << 20), "and then alone");
    assert!(!flow.pay(1), "nothing beside it");
    assert!(flow.take_grant(grant(1, 356 + (1 << 20), 600)));
    assert!(flow.pay(300) && flow.pay(300) && !flow.pay(1));
}

#[test]
fn grants_of_another_flow_older_ones_and_untrue_ones_change_nothing() {
    let mut flow = Outgoing::new(FlowId(2));
    assert!(flow.pay(1000));
    assert!(!flow.take_grant(grant(1, 1000, 9000)), "of the flow before");
    assert!(!flow.take_grant(grant(2, 1001, 9000)), "of what was never sent");
    assert!(flow.take_grant(grant(2, 600, 9000)));
    assert!(!flow.take_grant(grant(2, 600, 9000)), "told twice");
    assert!(!flow.take_grant(grant(2, 300, 90_000)), "overtaken");
    assert!(flow.pay(8600) && !flow.pay(1));
}

#[test]
fn no_window_is_larger_than_the_largest() {
    let mut flow = Outgoing::new(FlowId(1));
    assert!(flow.pay(1) && flow.take_grant(grant(1, 1, u32::MAX)));
    assert!(flow.pay(MAX_WINDOW.into()) && !flow.pay(1));
}

#[test]
fn what_was_not_sent_is_given_back() {
    let mut flow = Outgoing::new(FlowId(1));
    assert!(flow.pay(1 << 20) && !flow.pay(1));
    flow.refund(1 << 20);
    assert!(flow.pay(FIRST_WINDOW.into()));
}

#[test]
fn what_is_owed_is_told_when_nothing_waits() {
    let mut senders = Senders::new(1 << 22);
    senders.begin(1, FlowId(7));
    assert_eq!(senders.receive(&1, 356), Some(FlowId(7)));
    assert_eq!(senders.receive(&1, 356), Some(FlowId(7)));
    assert!(!senders.work_off(&1, FlowId(7), 356), "one still waits, and it is no quarter of the window");
    assert!(senders.work_off(&1, FlowId(7), 356));
    let told = senders.grants();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].1.worked_off(), told[0].1.window()), (712, MAX_WINDOW));
    assert!(senders.grants().is_empty(), "told once");
    assert_eq!(senders.receive(&2, 300), None, "it has begun no flow");
}

#[test]
fn what_belongs_to_an_older_flow_is_no_credit_of_the_next() {
    let mut senders = Senders::new(1 << 22);
    senders.begin(1, FlowId(7));
    senders.receive(&1, 300);
    senders.begin(1, FlowId(8));
    senders.receive(&1, 400);
    assert!(!senders.work_off(&1, FlowId(7), 300));
    assert!(senders.work_off(&1, FlowId(8), 400));
    assert_eq!(senders.grants()[0].1.worked_off(), 400);
}

/// All senders use their windows to the end, and the receiver works nothing off beyond what makes
/// them grow.
#[test]
fn one_pool_is_divided_among_all_senders() {
    let size = 1 << 22;
    let mut senders = Senders::new(size);
    let mut windows = Vec::new();
    for sender in 0..=255 {
        senders.begin(sender, FlowId(1));
        senders.receive(&sender, 300);
        assert!(senders.work_off(&sender, FlowId(1), 300));
        // It is busy again before it hears.
        senders.receive(&sender, 300);
        windows.push(u64::from(senders.grants()[0].1.window()));
    }
    assert_eq!(windows[0], u64::from(MAX_WINDOW));
    assert!(windows.iter().all(|window| *window >= u64::from(FIRST_WINDOW)), "each has a part of its own");
    assert!(windows.is_sorted_by(|a, b| a >= b), "{windows:?}");
    assert!(windows.iter().sum::<u64>() <= size + 256 * u64::from(FIRST_WINDOW));
    (0..=255).for_each(|sender| senders.forget(&sender));
    assert_eq!(senders.pool.promised, 0);
}

#[test]
fn windows_of_senders_that_are_silent_are_taken_back() {
    let mut senders = Senders::new(1 << 22);
    let busy = |senders: &mut Senders, sender: usize| {
        senders.receive(&sender, 300);
        senders.work_off(&sender, FlowId(1), 300);
        senders.grants()
    };
    for sender in 0..100 {
        senders.begin(sender, FlowId(1));
        busy(&mut senders, sender);
    }
    let shrunk = (0..200).flat_map(|_| busy(&mut senders, 200)).count();
    assert_eq!(shrunk, 0, "it has begun no flow");
    senders.begin(200, FlowId(1));
    let mut window = 0;
    for _ in 0..200 {
        for (sender, grant) in busy(&mut senders, 200) {
            assert!(sender == 200 || grant.window() == FIRST_WINDOW);
            window = if sender == 200 { grant.window() } else { window };
        }
    }
    assert!(window > MAX_WINDOW / 8, "the one that sends has a large window again: {window}");
    assert!(senders.quiet.len() <= senders.flows.len() + TAKEN_BACK);
}

/// A sender, a Router with the same account, and a receiver; everything between them is in order,
/// and takes time.
#[derive(Default)]
struct Link {
    number: u32,
    sender: Option<Outgoing>,
    router: Option<Outgoing>,
    wanted: VecDeque<u64>,
    /// From the sender to the Router, and on to the receiver.
    first: VecDeque<Sent>,
    held: VecDeque<u64>,
    second: VecDeque<Sent>,
    /// From the receiver to the Router, and on to the sender.
    back: VecDeque<Grant>,
    home: VecDeque<Grant>,
    /// At the receiver, with the flow that they came in.
    waiting: VecDeque<(FlowId, u64)>,
}

#[derive(Clone, Copy)]
enum Sent {
    Begins(FlowId),
    Request(u64),
}

impl Link {
    /// The connection of sender or receiver is a new one: what was on its way is lost.
    fn renew(&mut self, receiver_is_new: bool) {
        (self.sender, self.router) = (None, None);
        (self.first, self.held) = Default::default();
        self.home.clear();
        if receiver_is_new {
            self.second.clear();
            self.back.clear();
            self.waiting.clear();
        }
    }

    fn send(&mut self) {
        let Some(cost) = self.wanted.front().copied() else { return };
        let (number, first) = (&mut self.number, &mut self.first);
        let flow = self.sender.get_or_insert_with(|| {
            *number += 1;
            first.push_back(Sent::Begins(FlowId(*number)));
            Outgoing::new(FlowId(*number))
        });
        if flow.pay(cost) {
            self.wanted.pop_front();
            self.first.push_back(Sent::Request(cost));
        }
    }

    fn route(&mut self) {
        match self.first.pop_front() {
            Some(Sent::Begins(flow)) => {
                self.router = Some(Outgoing::new(flow));
                self.second.push_back(Sent::Begins(flow));
            }
            Some(Sent::Request(cost)) => self.held.push_back(cost),
            None => {}
        }
        let Some(flow) = &mut self.router else { return };
        while let Some(cost) = self.held.front().copied().filter(|cost| flow.pay(*cost)) {
            self.held.pop_front();
            self.second.push_back(Sent::Request(cost));
        }
    }

    fn arrive(&mut self, name: usize, receiver: &mut Senders) {
        match self.second.pop_front() {
            Some(Sent::Begins(flow)) => receiver.begin(name, flow),
            Some(Sent::Request(cost)) => {
                let flow = receiver.receive(&name, cost).expect("it began before");
                self.waiting.push_back((flow, cost));
            }
            None => {}
        }
    }

    fn return_credit(&mut self) {
        if let Some(grant) = self.back.pop_front() {
            let _news = self.router.as_mut().is_some_and(|flow| flow.take_grant(grant));
            self.home.push_back(grant);
        }
    }

    fn hear(&mut self) {
        if let Some(grant) = self.home.pop_front() {
            let _news = self.sender.as_mut().is_some_and(|flow| flow.take_grant(grant));
        }
    }

    fn is_done(&self) -> bool {
        self.wanted.is_empty() && self.first.is_empty() && self.held.is_empty() && self.second.is_empty()
    }
}

fn work(links: &mut [Link], at: usize, receiver: &mut Senders) {
    if let Some((flow, cost)) = links[at].waiting.pop_front()
        && receiver.work_off(&at, flow, cost)
    {
        for (sender, grant) in receiver.grants() {
            links[sender].back.push_back(grant);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the sizes and the order in which things arrive, whoever reconnects: all that is
    /// wanted passes in the end, both sides agree, and what waits at the receiver is bounded.
    #[test]
    fn nothing_stands_still_and_both_sides_agree(
        sizes in prop::collection::vec((0usize..3, prop_oneof![0usize..300, 0usize..20_000, 500_000usize..2_000_000]), 1..60),
        steps in prop::collection::vec((0usize..3, 0u8..11), 0..400),
    ) {
        const POOL: u64 = 40_000;
        let mut links: [Link; 3] = Default::default();
        let largest = sizes.iter().map(|(_, size)| credit_cost(*size)).max().unwrap_or_default();
        for (sender, size) in &sizes {
            links[*sender].wanted.push_back(credit_cost(*size));
        }
        let mut receiver = Senders::new(POOL);
        for (at, step) in steps {
            match step {
                0 | 1 => links[at].send(),
                2 | 3 => links[at].route(),
                4 | 5 => links[at].arrive(at, &mut receiver),
                6 => work(&mut links, at, &mut receiver),
                7 => links[at].return_credit(),
                8 => links[at].hear(),
                // The sender is a new connection; what it sent before is at the receiver, or on its
                // way there.
                9 => {
                    links[at].renew(false);
                }
                _ => {
                    // The receiver is: everybody begins anew with it.
                    links.iter_mut().for_each(|link| link.renew(true));
                    receiver = Senders::new(POOL);
                }
            }
            for link in &links {
                let waiting: u64 = link.waiting.iter().filter(|(flow, _)| link.router.as_ref().is_some_and(|r| r.flow() == *flow)).map(|(_, cost)| cost).sum();
                prop_assert!(waiting <= u64::from(MAX_WINDOW).max(largest));
            }
        }
        // From here on all goes on, and nothing new is wanted.
        let mut rounds = 0;
        while !links.iter().all(Link::is_done) || links.iter().any(|link| !link.waiting.is_empty()) {
            for at in 0..links.len() {
                links[at].send();
                links[at].route();
                links[at].arrive(at, &mut receiver);
                work(&mut links, at, &mut receiver);
                links[at].return_credit();
                links[at].hear();
            }
            rounds += 1;
            prop_assert!(rounds < 10_000, "it stands still");
        }
        for (at, link) in links.iter_mut().enumerate() {
            while !link.back.is_empty() || !link.home.is_empty() {
                link.return_credit();
                link.hear();
            }
            let (Some(sender), Some(router)) = (&link.sender, &link.router) else { continue };
            prop_assert_eq!((sender.sent, sender.worked_off, sender.limit), (router.sent, router.worked_off, router.limit));
            prop_assert_eq!(sender.sent, sender.worked_off, "all is worked off, and known to be");
            let incoming = &receiver.flows[&at];
            prop_assert_eq!((incoming.flow, incoming.worked_off), (sender.flow(), sender.sent));
        }
        let all: u64 = receiver.flows.values().map(|flow| u64::from(flow.window - FIRST_WINDOW)).sum();
        prop_assert_eq!(receiver.pool.promised, all, "what is counted is what is promised");
        prop_assert!(all <= POOL);
    }
}

#[test]
fn one_grant_of_each_flow_waits_to_be_written_and_the_next_says_all() {
    let mut receiving = Receiving::<&str, std::hash::RandomState>::new(1 << 20);
    receiving.begin("a", FlowId(1));
    receiving.begin("b", FlowId(2));
    let work = |receiving: &mut Receiving<_, _>, sender: &'static str| {
        let flow = receiving.receive(&sender, 300).unwrap();
        receiving.work_off(&sender, flow, 300);
        receiving.grants()
    };
    let first = work(&mut receiving, "a");
    assert_eq!(first.len(), 1);
    receiving.note_queued("a", FlowId(1));
    for _ in 0..100 {
        assert!(work(&mut receiving, "a").is_empty());
    }
    assert_eq!(work(&mut receiving, "b").len(), 1, "another flow's is told");
    assert!(!receiving.note_written(&"a", FlowId(9)), "of a flow before");
    assert!(receiving.note_written(&"a", FlowId(1)));
    let newest = receiving.grants();
    assert!(matches!(&newest[..], [("a", grant)] if grant.worked_off() == 101 * 300));
    // Nothing is told twice, nor of who has left.
    assert!(!receiving.note_written(&"a", FlowId(1)) && receiving.grants().is_empty());
    let flow = receiving.receive(&"a", 300).unwrap();
    assert!(receiving.work_off(&"a", flow, 300));
    receiving.forget("a");
    assert!(receiving.grants().is_empty() && !receiving.note_written(&"a", FlowId(1)));
}
