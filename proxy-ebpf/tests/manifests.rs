//! Manifest files as they change under watch.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

use proxy_ebpf::{Batch, ManifestSource, NodeOptions, Problem, Source, Tracker};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn service(name: &str, ip: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIPs: [{ip}], ports: [{{port: 80}}]}}\n"
    )
}

/// A folder with these files, its source, and the first batch.
async fn opened(files: &[(&str, String)]) -> (TempDir, ManifestSource, Batch) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let mut source = ManifestSource::open(folder.path()).unwrap();
    let batch = source.next().await;
    (folder, source, batch)
}

/// The next batch, which must come of an event: sooner than the look at all files.
async fn next(source: &mut ManifestSource) -> Batch {
    tokio::time::timeout(Duration::from_secs(5), source.next()).await.expect("a batch comes by an event")
}

/// Objects of a batch: `+` for one that is set, `-` for one that is deleted.
fn names(batch: &Batch) -> Vec<String> {
    let sign = |set| if set { '+' } else { '-' };
    batch
        .updates
        .iter()
        .map(|update| format!("{}{}", sign(update.object.is_some()), update.key.name))
        .collect()
}

async fn is_quiet(source: &mut ManifestSource) -> bool {
    tokio::time::timeout(Duration::from_millis(300), source.next()).await.is_err()
}

fn replace(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(".new"), text).unwrap();
    fs::rename(folder.join(".new"), folder.join(name)).unwrap();
}

#[tokio::test]
async fn the_first_batch_has_all_objects() {
    let (_folder, mut source, batch) = opened(&[
        ("a.yaml", service("a", "10.96.0.1")),
        ("b.yml", service("b", "10.96.0.2")),
        ("c.txt", "{".into()),
    ])
    .await;
    assert_eq!(names(&batch), ["+a", "+b"]);
    assert!(batch.complete && batch.problems.is_empty());
    assert!(is_quiet(&mut source).await);
    let (_folder, _source, empty) = opened(&[]).await;
    assert_eq!(empty, Batch { complete: true, ..Batch::default() });
}

#[tokio::test]
async fn a_change_is_told_of_within_milliseconds_and_alone() {
    let (folder, mut source, _) =
        opened(&[("a.yaml", service("a", "10.96.0.1")), ("b.yaml", service("b", "10.96.0.2"))]).await;
    let start = Instant::now();
    fs::write(folder.path().join("a.yaml"), service("a", "10.96.0.9")).unwrap();
    assert_eq!(names(&next(&mut source).await), ["+a"]);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    fs::write(folder.path().join("a.yaml"), service("a", "10.96.0.9")).unwrap();
    assert!(is_quiet(&mut source).await);
}

#[tokio::test]
async fn files_come_and_go_and_are_replaced_by_rename() {
    let (folder, mut source, _) = opened(&[("a.yaml", service("a", "10.96.0.1"))]).await;
    replace(folder.path(), "a.yaml", &service("c", "10.96.0.1"));
    assert_eq!(names(&next(&mut source).await), ["-a", "+c"].map(String::from));
    replace(folder.path(), "b.yaml", &service("b", "10.96.0.2"));
    assert_eq!(names(&next(&mut source).await), ["+b"]);
    fs::rename(folder.path().join("b.yaml"), folder.path().join("b2.yaml")).unwrap();
    assert!(is_quiet(&mut source).await);
    fs::remove_file(folder.path().join("b2.yaml")).unwrap();
    assert_eq!(names(&next(&mut source).await), ["-b"]);
}

#[tokio::test]
async fn a_file_moved_away_and_written_anew_is_one_change() {
    let (folder, mut source, _) = opened(&[("a.yaml", service("a", "10.96.0.1"))]).await;
    let path = folder.path().join("a.yaml");
    let editor = tokio::task::spawn_blocking(move || {
        fs::rename(&path, path.with_extension("yaml~")).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        fs::write(&path, service("a", "10.96.0.2")).unwrap();
    });
    let batch = next(&mut source).await;
    editor.await.unwrap();
    assert_eq!((names(&batch), batch.problems.len()), (vec!["+a".to_owned()], 0));
    fs::rename(folder.path().join("a.yaml"), folder.path().join("a.yaml~")).unwrap();
    assert_eq!(names(&next(&mut source).await), ["-a"]);
}

#[tokio::test]
async fn a_broken_file_keeps_what_it_last_said() {
    let (folder, mut source, _) = opened(&[("a.yaml", service("a", "10.96.0.1"))]).await;
    let broken = format!("{}---\nkind: Service\n", service("z", "10.96.0.3"));
    fs::write(folder.path().join("a.yaml"), &broken).unwrap();
    let batch = next(&mut source).await;
    assert!(batch.updates.is_empty() && batch.complete);
    let [Problem::Document { file, document: 2, line, .. }] = &batch.problems[..] else {
        panic!("{batch:?}")
    };
    assert!(file.ends_with("/a.yaml") && (5..=7).contains(line), "{file}:{line}");
    fs::write(folder.path().join("a.yaml"), service("a", "10.96.0.7")).unwrap();
    let batch = next(&mut source).await;
    assert_eq!((names(&batch), batch.problems.len()), (vec!["+a".to_owned()], 0));
}

#[tokio::test]
async fn a_file_broken_from_the_start_leaves_the_source_incomplete() {
    let (folder, mut source, batch) =
        opened(&[("a.yaml", service("a", "10.96.0.1")), ("b.yaml", "{".into())]).await;
    assert_eq!((names(&batch), batch.problems.len(), batch.complete), (vec!["+a".to_owned()], 1, false));
    fs::remove_file(folder.path().join("b.yaml")).unwrap();
    assert!(next(&mut source).await.complete);
}

#[tokio::test]
async fn a_half_written_file_is_not_read() {
    let (folder, mut source, _) = opened(&[("a.yaml", service("a", "10.96.0.1"))]).await;
    let mut file = fs::File::create(folder.path().join("a.yaml")).unwrap();
    let mut new = fs::File::create(folder.path().join("b.yaml")).unwrap();
    file.write_all(b"apiVersion: v1\n").unwrap();
    new.write_all(b"apiVersion: v1\n").unwrap();
    assert!(is_quiet(&mut source).await);
    file.write_all(service("c", "10.96.0.2").strip_prefix("apiVersion: v1\n").unwrap().as_bytes()).unwrap();
    drop(file);
    assert_eq!(names(&next(&mut source).await), ["-a", "+c"].map(String::from));
}

#[tokio::test]
async fn of_two_files_with_one_object_the_first_by_name_counts() {
    let (folder, mut source, batch) =
        opened(&[("a.yaml", service("web", "10.96.0.1")), ("b.yaml", service("web", "10.96.0.2"))]).await;
    let [Problem::Twice { file, object, first }] = &batch.problems[..] else { panic!("{batch:?}") };
    assert!(file.ends_with("b.yaml") && first.ends_with("a.yaml") && object == "Service default/web");
    assert_eq!(batch.updates.len(), 1);
    fs::write(folder.path().join("b.yaml"), service("web", "10.96.0.3")).unwrap();
    assert!(is_quiet(&mut source).await);
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    let batch = next(&mut source).await;
    let mut tracker = Tracker::new(NodeOptions::default());
    tracker.apply(batch.updates);
    let frontend = &tracker.table().ports.values().next().unwrap().frontends[0];
    assert_eq!(frontend.address.unwrap().to_string(), "10.96.0.3");
}

#[tokio::test]
async fn one_file_may_be_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services");
    fs::write(&file, service("a", "10.96.0.1")).unwrap();
    let mut source = ManifestSource::open(&file).unwrap();
    assert_eq!(names(&source.next().await), ["+a"]);
    fs::write(folder.path().join("other.yaml"), service("b", "10.96.0.2")).unwrap();
    assert!(is_quiet(&mut source).await);
    replace(folder.path(), "services", &service("b", "10.96.0.2"));
    assert_eq!(names(&next(&mut source).await), ["-a", "+b"].map(String::from));
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, text: String| {
        fs::create_dir(folder.path().join(name)).unwrap();
        let file = folder.path().join(name).join("a.yaml");
        fs::write(&file, text).unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        std::os::unix::fs::symlink(name, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    version("..1", service("a", "10.96.0.1"));
    std::os::unix::fs::symlink("..data/a.yaml", folder.path().join("a.yaml")).unwrap();
    let mut source = ManifestSource::open(folder.path()).unwrap();
    assert_eq!(names(&source.next().await), ["+a"]);
    version("..2", service("b", "10.96.0.1"));
    assert_eq!(names(&next(&mut source).await), ["-a", "+b"].map(String::from));
}

#[tokio::test]
async fn a_folder_that_goes_away_keeps_its_objects_and_is_found_again() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("manifests");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), service("a", "10.96.0.1")).unwrap();
    let mut source = ManifestSource::open(&folder).unwrap();
    source.next().await;
    fs::rename(&folder, outer.path().join("away")).unwrap();
    let batch = next(&mut source).await;
    assert!(
        batch.updates.is_empty() && matches!(batch.problems[..], [Problem::Read { .. }]) && !batch.complete
    );
    assert!(is_quiet(&mut source).await);
    fs::rename(outer.path().join("away"), &folder).unwrap();
    let batch = next(&mut source).await;
    assert!(batch.updates.is_empty() && batch.complete);
    fs::remove_file(folder.join("a.yaml")).unwrap();
    assert_eq!(names(&next(&mut source).await), ["-a"]);
}

#[tokio::test]
async fn what_is_not_there_cannot_be_watched() {
    let error = ManifestSource::open(Path::new("/nonexistent/manifests")).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/manifests") && error.contains("make it"), "{error}");
}
