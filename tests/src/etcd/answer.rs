//! What a server answered to one operation, in a form that two servers' answers can be compared in.
//!
//! Only what must differ between any two servers is taken away: ids of cluster and member and the raft term, in the
//! headers of all depths. Times are compared with a tolerance; everything else must be equal to the byte.

use etcd_client::proto::*;
use tonic::Status;

/// Seconds by which the rests of two leases may differ: servers are asked one after the other.
const TTL_TOLERANCE: i64 = 8;

/// The answer to one operation.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each is the response of etcd of that name")]
pub enum Answer {
    Range(PbRangeResponse),
    Put(PbPutResponse),
    Delete(PbDeleteResponse),
    Txn(PbTxnResponse),
    Compact(PbCompactionResponse),
    Grant(PbLeaseGrantResponse),
    Revoke(PbLeaseRevokeResponse),
    TimeToLive(PbLeaseTimeToLiveResponse),
    Leases(PbLeaseLeasesResponse),
    KeepAlive(PbLeaseKeepAliveResponse),
    HashKv(PbHashKvResponse),
    /// What the watch stream said until the request was answered for certain.
    Watch(Vec<PbWatchResponse>),
    /// The events of the watch of a number, in the order of their arrival, and how it ended, if it has.
    Events(i64, Vec<PbEvent>, Option<PbWatchResponse>),
    Several(Vec<Answer>),
    Error {
        code: i32,
        message: String,
    },
}

impl From<Status> for Answer {
    fn from(status: Status) -> Answer {
        Answer::Error { code: status.code() as i32, message: status.message().to_owned() }
    }
}

impl Answer {
    /// Of a call that failed or not.
    pub fn of<T>(answered: Result<T, Status>, wrap: fn(T) -> Answer) -> Answer {
        answered.map_or_else(Answer::from, wrap)
    }

    /// Whether a server that answers one and one that answers the other are alike.
    pub fn same(&self, other: &Answer) -> bool {
        match (self, other) {
            (Answer::TimeToLive(a), Answer::TimeToLive(b)) => {
                close(a.ttl, b.ttl) && PbLeaseTimeToLiveResponse { ttl: b.ttl, ..a.clone() } == *b
            }
            (Answer::Several(a), Answer::Several(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
            }
            (a, b) => a == b,
        }
    }

    /// The revision in the header.
    pub fn revision(&self) -> Option<i64> {
        let header = match self {
            Answer::Range(a) => &a.header,
            Answer::Put(a) => &a.header,
            Answer::Delete(a) => &a.header,
            Answer::Txn(a) => &a.header,
            Answer::Compact(a) => &a.header,
            Answer::Grant(a) => &a.header,
            Answer::Revoke(a) => &a.header,
            Answer::TimeToLive(a) => &a.header,
            Answer::Leases(a) => &a.header,
            Answer::KeepAlive(a) => &a.header,
            Answer::HashKv(a) => &a.header,
            Answer::Several(all) => return all.iter().filter_map(Answer::revision).max(),
            Answer::Watch(_) | Answer::Events(..) | Answer::Error { .. } => return None,
        };
        header.as_ref().map(|header| header.revision)
    }

    /// Takes away what differs between any two servers, and the order where none is promised.
    pub fn plain(mut self) -> Answer {
        match &mut self {
            Answer::Range(a) => header(&mut a.header),
            Answer::Put(a) => header(&mut a.header),
            Answer::Delete(a) => header(&mut a.header),
            Answer::Txn(a) => txn(a),
            Answer::Compact(a) => header(&mut a.header),
            Answer::Grant(a) => header(&mut a.header),
            Answer::Revoke(a) => header(&mut a.header),
            Answer::TimeToLive(a) => {
                header(&mut a.header);
                a.keys.sort();
            }
            Answer::Leases(a) => {
                header(&mut a.header);
                a.leases.sort_by_key(|lease| lease.id);
            }
            Answer::KeepAlive(a) => header(&mut a.header),
            Answer::HashKv(a) => header(&mut a.header),
            Answer::Watch(all) => all.iter_mut().for_each(|a| header(&mut a.header)),
            // The end comes when the server gets to it: its revision is that of some later write.
            Answer::Events(_, _, end) => end.iter_mut().for_each(|a| a.header = None),
            Answer::Several(all) => *all = std::mem::take(all).into_iter().map(Answer::plain).collect(),
            Answer::Error { .. } => {}
        }
        self
    }
}

fn header(of: &mut Option<PbResponseHeader>) {
    if let Some(header) = of {
        (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
    }
}

fn txn(of: &mut PbTxnResponse) {
    header(&mut of.header);
    for response in &mut of.responses {
        match &mut response.response {
            Some(PbTxnOpResponse::ResponseRange(a)) => header(&mut a.header),
            Some(PbTxnOpResponse::ResponsePut(a)) => header(&mut a.header),
            Some(PbTxnOpResponse::ResponseDeleteRange(a)) => header(&mut a.header),
            Some(PbTxnOpResponse::ResponseTxn(a)) => txn(a),
            None => {}
        }
    }
}

/// Whether two rests of a lease are one: −1 is no lease, which is no time.
fn close(a: i64, b: i64) -> bool {
    a == b || (a >= 0 && b >= 0 && (a - b).abs() <= TTL_TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_no_difference_and_revisions_are() {
        let of = |member_id, revision| {
            let header = Some(PbResponseHeader { member_id, revision, ..Default::default() });
            let nested = PbTxnResponse { header, ..Default::default() };
            let response = Some(PbTxnOpResponse::ResponseTxn(nested));
            let responses = vec![PbResponseOp { response }];
            Answer::Txn(PbTxnResponse { header, responses, ..Default::default() }).plain()
        };
        assert!(of(1, 5).same(&of(2, 5)));
        assert!(!of(1, 5).same(&of(1, 6)));
        assert_eq!(of(1, 5).revision(), Some(5));
    }

    #[test]
    fn a_rest_of_a_lease_has_a_tolerance_and_no_lease_has_none() {
        let of = |ttl, granted_ttl| {
            Answer::TimeToLive(PbLeaseTimeToLiveResponse { ttl, granted_ttl, ..Default::default() })
        };
        assert!(of(100, 100).same(&of(97, 100)));
        assert!(!of(100, 100).same(&of(80, 100)));
        assert!(!of(1, 0).same(&of(-1, 0)));
        assert!(!of(100, 100).same(&of(100, 99)));
    }

    #[test]
    fn errors_are_code_and_text() {
        let error = |status: Status| Answer::from(status);
        assert!(error(Status::not_found("x")).same(&error(Status::not_found("x"))));
        assert!(!error(Status::not_found("x")).same(&error(Status::not_found("y"))));
        assert!(!error(Status::not_found("x")).same(&error(Status::aborted("x"))));
    }
}
