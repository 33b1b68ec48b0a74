//! Where services are told: manifests or a Kubernetes API, by flags.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use proxy_ebpf::{ApiSource, Batch, ManifestSource, Source};

use crate::kubeconfig;

/// The source of services.
#[derive(Debug, Args)]
pub struct SourceFlags {
    /// A file or folder of Service, EndpointSlice and Node manifests (YAML or JSON), read again when it changes
    #[arg(long, conflicts_with_all = ["kubeconfig", "master"])]
    manifests: Option<PathBuf>,
    /// The kubeconfig of the API server; within a pod, the pod's own account without
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// URL of the API server, in place of the kubeconfig's
    #[arg(long)]
    master: Option<String>,
}

/// A source of either sort.
#[derive(Debug)]
pub enum AnySource {
    /// Files.
    Manifests(Box<ManifestSource>),
    /// An API.
    Api(ApiSource),
}

impl Source for AnySource {
    async fn next(&mut self) -> Batch {
        match self {
            AnySource::Manifests(source) => source.next().await,
            AnySource::Api(source) => source.next().await,
        }
    }
}

impl SourceFlags {
    /// The kubeconfig, if one is named.
    #[cfg(test)]
    pub fn kubeconfig(&self) -> Option<&std::path::Path> {
        self.kubeconfig.as_deref()
    }

    /// Names the kubeconfig.
    pub fn set_kubeconfig(&mut self, path: PathBuf) -> anyhow::Result<()> {
        if let Some(manifests) = &self.manifests {
            bail!(
                "clientConnection.kubeconfig: services come from --manifests {}; leave one of them out",
                manifests.display()
            );
        }
        self.kubeconfig = Some(path);
        Ok(())
    }

    /// The source, for the node of this name.
    pub async fn open(&self, node: &str) -> anyhow::Result<AnySource> {
        if let Some(path) = &self.manifests {
            return Ok(AnySource::Manifests(Box::new(ManifestSource::open(path)?)));
        }
        let client = kube::Client::try_from(self.reached().await?)
            .context("cannot set up the client of the API server")?;
        Ok(AnySource::Api(ApiSource::open(&client, node)))
    }

    async fn reached(&self) -> anyhow::Result<kube::Config> {
        let mut config = match &self.kubeconfig {
            Some(path) => kubeconfig::read(path).await?,
            None if self.master.is_some() => kube::Config::new(http::Uri::default()),
            None => kube::Config::incluster().context(
                "no --manifests (a file or folder with Services and EndpointSlices) and no --kubeconfig, and this is no \
                 pod with an account",
            )?,
        };
        if let Some(master) = &self.master {
            config.cluster_url = master.parse().with_context(|| format!("--master {master} is no URL"))?;
        }
        Ok(config)
    }
}
