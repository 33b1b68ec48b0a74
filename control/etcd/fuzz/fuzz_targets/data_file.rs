//! A data file: opened, or refused by its name. Seeds: `weft-etcd.redb` of a server that has run.
#![no_main]

#[path = "../../tests/wire/mod.rs"]
mod wire;

use std::sync::LazyLock;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let file = folder.path().join(weft_etcd::storage::FILE_NAME);
    std::fs::write(&file, data).expect("a data file");
    RUNTIME.block_on(async {
        match wire::open(folder.path()) {
            Ok(etcd) => {
                wire::assert_alive(&etcd).await;
                etcd.stop().await;
            }
            Err(why) => assert!(why.to_string().contains(&file.display().to_string()), "{why}"),
        }
    });
});
