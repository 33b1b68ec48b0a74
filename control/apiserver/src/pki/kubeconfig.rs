//! A kubeconfig with everything in it: the CA, and one user's certificate and key.

use base64::prelude::{BASE64_STANDARD, Engine};

/// `clientcmd/api/v1.Config` with one cluster, one user, and their context.
pub fn kubeconfig(server: &str, authority_pem: &str, user: &str, cert_pem: &str, key_pem: &str) -> String {
    let data = |text: &str| BASE64_STANDARD.encode(text);
    // JSON strings are YAML strings, whatever is in them.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let context = quoted(&format!("{user}@kubernetes"));
    let (server, user) = (quoted(server), quoted(user));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster:
    server: {server}
    certificate-authority-data: {}
contexts:
- name: {context}
  context:
    cluster: kubernetes
    user: {user}
current-context: {context}
preferences: {{}}
users:
- name: {user}
  user:
    client-certificate-data: {}
    client-key-data: {}
",
        data(authority_pem),
        data(cert_pem),
        data(key_pem)
    )
}
