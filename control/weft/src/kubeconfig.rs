//! An API server by its kubeconfig.

use std::path::Path;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// How to reach the API server that a kubeconfig names as its current context.
pub async fn read(path: &Path) -> anyhow::Result<kube::Config> {
    let named = || format!("cannot use --kubeconfig {}", path.display());
    let read = Kubeconfig::read_from(path).with_context(named)?;
    kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.with_context(named)
}
