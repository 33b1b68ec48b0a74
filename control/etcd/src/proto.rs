//! etcd's messages under short names, and the values of enumerations that etcd-client keeps to itself.
//!
//! Source: `api/etcdserverpb/rpc.proto` and `api/mvccpb/kv.proto` of etcd 3.5.

pub use etcd_client::proto::{
    PbAlarmMember as AlarmMember, PbAlarmRequest as AlarmRequest, PbAlarmResponse as AlarmResponse,
    PbCompactionRequest as CompactionRequest, PbCompactionResponse as CompactionResponse,
    PbCompare as Compare, PbDefragmentRequest as DefragmentRequest,
    PbDefragmentResponse as DefragmentResponse, PbDeleteRequest as DeleteRangeRequest,
    PbDeleteResponse as DeleteRangeResponse, PbEvent as Event, PbHashKvRequest as HashKvRequest,
    PbHashKvResponse as HashKvResponse, PbHashRequest as HashRequest, PbHashResponse as HashResponse,
    PbKeyValue as KeyValue, PbLeaseGrantRequest as LeaseGrantRequest,
    PbLeaseGrantResponse as LeaseGrantResponse, PbLeaseKeepAliveRequest as LeaseKeepAliveRequest,
    PbLeaseKeepAliveResponse as LeaseKeepAliveResponse, PbLeaseLeasesRequest as LeaseLeasesRequest,
    PbLeaseLeasesResponse as LeaseLeasesResponse, PbLeaseRevokeRequest as LeaseRevokeRequest,
    PbLeaseRevokeResponse as LeaseRevokeResponse, PbLeaseStatus as LeaseStatus,
    PbLeaseTimeToLiveRequest as LeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse as LeaseTimeToLiveResponse,
    PbMember as Member, PbPutRequest as PutRequest, PbPutResponse as PutResponse,
    PbRangeRequest as RangeRequest, PbRangeResponse as RangeResponse, PbResponseHeader as ResponseHeader,
    PbResponseOp as ResponseOp, PbStatusRequest as StatusRequest, PbStatusResponse as StatusResponse,
    PbTargetUnion as TargetUnion, PbTxnOpRequest as TxnOp, PbTxnOpResponse as TxnOpResponse,
    PbTxnRequest as TxnRequest, PbTxnRequestOp as RequestOp, PbTxnResponse as TxnResponse,
    PbWatchRequest as WatchRequest, PbWatchRequestUnion as WatchRequestUnion,
    PbWatchResponse as WatchResponse,
};

/// `RangeRequest.SortOrder`.
pub mod sort_order {
    /// As the keys are.
    pub const NONE: i32 = 0;
    /// Highest first (1 is lowest first).
    pub const DESCEND: i32 = 2;
}

/// `RangeRequest.SortTarget`, beside the key (0).
pub mod sort_target {
    /// By version.
    pub const VERSION: i32 = 1;
    /// By the revision of creation.
    pub const CREATE: i32 = 2;
    /// By the revision of the last change.
    pub const MOD: i32 = 3;
    /// By value.
    pub const VALUE: i32 = 4;
}

/// `Compare.CompareResult`.
pub mod compare_result {
    /// Equal.
    pub const EQUAL: i32 = 0;
    /// What is stored is greater.
    pub const GREATER: i32 = 1;
    /// What is stored is less.
    pub const LESS: i32 = 2;
    /// Not equal.
    pub const NOT_EQUAL: i32 = 3;
}

/// `Compare.CompareTarget`.
pub mod compare_target {
    /// The version.
    pub const VERSION: i32 = 0;
    /// The revision of creation.
    pub const CREATE: i32 = 1;
    /// The revision of the last change.
    pub const MOD: i32 = 2;
    /// The value.
    pub const VALUE: i32 = 3;
    /// The lease.
    pub const LEASE: i32 = 4;
}

/// `Event.EventType`.
pub mod event_type {
    /// A key was put.
    pub const PUT: i32 = 0;
    /// A key was deleted.
    pub const DELETE: i32 = 1;
}

/// `AlarmRequest.AlarmAction`.
pub mod alarm_action {
    /// List.
    pub const GET: i32 = 0;
    /// Raise.
    pub const ACTIVATE: i32 = 1;
    /// Clear.
    pub const DEACTIVATE: i32 = 2;
}

/// `AlarmType`.
pub mod alarm_type {
    /// None, or all.
    pub const NONE: i32 = 0;
    /// Out of space: by quota, or the disk itself.
    pub const NOSPACE: i32 = 1;
    /// Damaged data.
    pub const CORRUPT: i32 = 2;
}

/// `WatchCreateRequest.FilterType`.
pub mod watch_filter {
    /// Leave out puts.
    pub const NOPUT: i32 = 0;
    /// Leave out deletions.
    pub const NODELETE: i32 = 1;
}
