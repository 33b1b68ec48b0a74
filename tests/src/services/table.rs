//! The table: services with numbers of their own, cases, and the run that judges them all.

use super::bed::Bed;
use super::case::{Case, Dial, ECONNREFUSED, Expect, Seen, Way, names};
use super::manifest::Service;
use serde_json::Value;
use std::net::SocketAddr;

/// Dials per case that must reach each of several pods: with six, one is missed by chance once in 10^7 tries.
const MANY: u32 = 96;
/// Dials per case where each must fail.
const FEW: u32 = 3;
/// How long a case waits that expects no answer; longer for one that expects some.
const SHORT_MS: u64 = 400;

/// Services and cases.
#[derive(Debug, Default)]
pub struct Table {
    services: Vec<Service>,
    /// The cases.
    pub cases: Vec<Case>,
}

impl Table {
    /// The next service, to be filled in and given to [`Table::add`].
    pub fn service(&self, name: &str) -> Service {
        Service::of(name, self.services.len() as u16 + 1)
    }

    /// Adds a service.
    pub fn add(&mut self, service: Service) -> Service {
        self.services.push(service.clone());
        service
    }

    /// Names of all services.
    pub fn names(&self) -> Vec<String> {
        self.services.iter().map(|service| service.name.clone()).collect()
    }

    /// The objects of all services.
    pub fn objects(&self, bed: &Bed) -> Vec<Value> {
        self.services.iter().flat_map(|service| service.objects(bed)).collect()
    }

    /// A case; what must come of it is said next.
    pub fn case(&mut self, name: &str, from: &str, way: Way, to: SocketAddr) -> Row<'_> {
        let dial = Dial { to, way, times: FEW, patience_ms: SHORT_MS, from_port: 0 };
        let (name, from) = (name.to_owned(), from.to_owned());
        let case = Case { name, from, dial, expect: Expect::FailsAtOnce, seen: Seen::Any };
        self.cases.push(case);
        let last = self.cases.len() - 1;
        Row { case: &mut self.cases[last] }
    }

    /// Runs all cases, each client's at one go and the clients at once: one line for each that failed.
    ///
    /// # Panics
    /// When a client cannot be run at all.
    pub fn run(&self, bed: &Bed) -> Vec<String> {
        let mut clients: Vec<&str> = self.cases.iter().map(|case| case.from.as_str()).collect();
        clients.sort_unstable();
        clients.dedup();
        std::thread::scope(|scope| {
            let started: Vec<_> =
                clients.into_iter().map(|from| scope.spawn(move || self.run_from(bed, from))).collect();
            started.into_iter().flat_map(|client| client.join().expect("the client is run")).collect()
        })
    }

    fn run_from(&self, bed: &Bed, from: &str) -> Vec<String> {
        let own: Vec<&Case> = self.cases.iter().filter(|case| case.from == from).collect();
        let plan: Vec<Dial> = own.iter().map(|case| case.dial.clone()).collect();
        let done = bed.dial(from, &plan);
        let judged = own.iter().zip(&done).map(|(case, done)| (case, case.judge(bed, done)));
        let failed = judged.filter_map(|(case, judged)| Some((case, judged.err()?)));
        failed
            .map(|(case, why)| format!("{} ({from}, {:?} {}): {why}", case.name, case.dial.way, case.dial.to))
            .collect()
    }
}

/// A case that waits for its expectation.
pub struct Row<'a> {
    case: &'a mut Case,
}

impl Row<'_> {
    /// Each of these answers, and nobody else.
    pub fn spreads(self, who: &[&str]) -> Self {
        self.case.dial.times = if who.len() > 1 { MANY } else { 12 };
        self.case.dial.patience_ms = 3000;
        self.case.expect = Expect::Spread(names(who));
        self
    }

    /// One of these answers all.
    pub fn keeps_to_one(self, of: &[&str]) -> Self {
        self.case.dial.times = 20;
        self.case.dial.patience_ms = 3000;
        self.case.expect = Expect::Same(names(of));
        self
    }

    /// Refused within 100 ms.
    pub fn refused(self) -> Self {
        self.fails_with(ECONNREFUSED)
    }

    /// This error within 100 ms.
    pub fn fails_with(self, errno: i32) -> Self {
        self.case.expect = Expect::Error(errno);
        self
    }

    /// No answer, and the client knows it within 100 ms.
    pub fn fails_at_once(self) -> Self {
        self.case.expect = Expect::FailsAtOnce;
        self
    }

    /// No answer.
    pub fn silent(self) -> Self {
        self.case.dial.times = 1;
        self.case.expect = Expect::Silence;
        self
    }

    /// As whom the server sees the client.
    pub fn seen(self, seen: Seen) -> Self {
        self.case.seen = seen;
        self
    }
}
