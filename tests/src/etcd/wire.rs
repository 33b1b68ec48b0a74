//! Messages of the watch stream with types of our own.
//!
//! `etcd_client::proto` names every message that the tests build but these. The tags are those of etcd's `rpc.proto`;
//! an unknown filter number stays possible because filters are plain numbers here.

/// What a client sends on a watch stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    /// Which of the three.
    #[prost(oneof = "WatchAsk", tags = "1, 2, 3")]
    pub ask: Option<WatchAsk>,
}

/// The three requests of a watch stream.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum WatchAsk {
    /// A watch is to begin.
    #[prost(message, tag = "1")]
    Create(WatchCreate),
    /// A watch is to end.
    #[prost(message, tag = "2")]
    Cancel(WatchCancel),
    /// The revision up to which this stream has been served is wanted.
    #[prost(message, tag = "3")]
    Progress(WatchProgress),
}

/// A watch to begin.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchCreate {
    /// First key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// End of the range, exclusive.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// From here; 0 is from now.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
    /// Empty responses now and then.
    #[prost(bool, tag = "4")]
    pub progress_notify: bool,
    /// 0 leaves out puts, 1 deletions.
    #[prost(int32, repeated, tag = "5")]
    pub filters: Vec<i32>,
    /// With the key-value before the event.
    #[prost(bool, tag = "6")]
    pub prev_kv: bool,
    /// 0 lets the server choose.
    #[prost(int64, tag = "7")]
    pub watch_id: i64,
    /// Large responses may be split.
    #[prost(bool, tag = "8")]
    pub fragment: bool,
}

/// A watch to end.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WatchCancel {
    /// Its number on this stream.
    #[prost(int64, tag = "1")]
    pub watch_id: i64,
}

/// Asks for progress.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct WatchProgress {}

impl WatchRequest {
    /// Wraps one of the three.
    pub fn of(ask: WatchAsk) -> WatchRequest {
        WatchRequest { ask: Some(ask) }
    }
}
