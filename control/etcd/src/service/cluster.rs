//! Cluster: one member, for good.

use super::{Answer, Service};
use crate::error::Error;
use crate::proto::Member;
use etcd_client::proto::{
    PbClusterService, PbMemberAddRequest, PbMemberAddResponse, PbMemberListRequest, PbMemberListResponse,
    PbMemberPromoteRequest, PbMemberPromoteResponse, PbMemberRemoveRequest, PbMemberRemoveResponse,
    PbMemberUpdateRequest, PbMemberUpdateResponse,
};
use tonic::{Request, Response};

const ONE_MEMBER: Error = Error::Unsupported(
    "weft etcd is one member and stays it; for more, move to an etcd cluster: \
     etcdctl snapshot save, then etcdctl snapshot restore for each member",
);

#[tonic::async_trait]
impl PbClusterService for Service {
    async fn member_list(&self, _: Request<PbMemberListRequest>) -> Answer<PbMemberListResponse> {
        let member = Member {
            id: self.server.store.identity().member,
            name: self.server.config.name.clone(),
            peer_ur_ls: Vec::new(),
            client_ur_ls: self.server.config.advertise_client_urls.clone(),
            is_learner: false,
        };
        Ok(Response::new(PbMemberListResponse { header: self.header(), members: vec![member] }))
    }

    async fn member_add(&self, _: Request<PbMemberAddRequest>) -> Answer<PbMemberAddResponse> {
        Err(ONE_MEMBER.into())
    }

    async fn member_remove(&self, _: Request<PbMemberRemoveRequest>) -> Answer<PbMemberRemoveResponse> {
        Err(ONE_MEMBER.into())
    }

    async fn member_update(&self, _: Request<PbMemberUpdateRequest>) -> Answer<PbMemberUpdateResponse> {
        Err(ONE_MEMBER.into())
    }

    async fn member_promote(&self, _: Request<PbMemberPromoteRequest>) -> Answer<PbMemberPromoteResponse> {
        Err(ONE_MEMBER.into())
    }
}
