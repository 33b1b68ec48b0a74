//! The body of a request; the first byte says to which method. One server takes all of them.
#![no_main]

#[path = "../../tests/wire/mod.rs"]
mod wire;

use std::sync::LazyLock;
use tokio::runtime::Runtime;
use weft_etcd::Etcd;

struct Subject {
    etcd: Etcd,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

static SUBJECT: LazyLock<Subject> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let runtime = Runtime::new().expect("a runtime");
    let etcd = runtime.block_on(async { wire::open(folder.path()) }).expect("a server on an empty folder");
    Subject { etcd, runtime, _folder: folder }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((method, body)) = data.split_first() else { return };
    let method = wire::METHODS[usize::from(*method) % wire::METHODS.len()];
    let subject = &*SUBJECT;
    subject.runtime.block_on(async {
        // With a right frame the fuzzer need not find out its length; as it is now and then, too.
        let body = if body.first() == Some(&0) { body.to_vec() } else { wire::framed(body) };
        wire::send(&subject.etcd, method, body).await;
        wire::assert_alive(&subject.etcd).await;
    });
});
