//! What earlier versions wrote is read as they meant it: recorded messages under `golden/`.

mod v0_1_0;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

use crate::{
    DESCRIPTORS, PROTOCOL, convert,
    node::{Frame, Frames, Hello, frame},
};

/// A message that is recorded.
struct Sample {
    /// What it is and in which form (`frame.call.invoke`): the file's name.
    name: &'static str,
    /// As it is written by this version.
    write: fn() -> Vec<u8>,
    /// Whether it means what it meant.
    check: fn(&[u8]),
}

/// The versions of which there are recorded messages, the latest last.
const VERSIONS: [(&str, &[Sample]); 1] = [("0.1.0", &v0_1_0::SAMPLES)];

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

fn read(version: &str, sample: &str) -> Vec<u8> {
    let file = folder(version).join(format!("{sample}.bin"));
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What of the latest version is not recorded yet, if that was asked for.
fn record() {
    let (version, samples) = VERSIONS[VERSIONS.len() - 1];
    if std::env::var_os("WASMVERSE_RECORD").is_none() {
        return;
    }
    for sample in samples {
        let file = folder(version).join(format!("{}.bin", sample.name));
        if !file.exists() {
            fs::write(&file, (sample.write)()).unwrap();
        }
    }
}

#[test]
fn what_was_recorded_means_what_it_meant() {
    record();
    for (version, samples) in VERSIONS {
        for Sample { name, check, .. } in samples {
            println!("{version}/{name}");
            check(&read(version, name));
        }
    }
}

#[test]
fn all_that_is_recorded_is_checked() {
    record();
    for (version, samples) in VERSIONS {
        let files = fs::read_dir(folder(version)).unwrap();
        let found: BTreeSet<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let known = samples.iter().map(|sample| format!("{}.bin", sample.name));
        assert_eq!(found, known.collect(), "{version}");
    }
    let all = fs::read_dir(folder("")).unwrap();
    let folders = all.filter(|it| it.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders, VERSIONS.len());
}

#[test]
fn something_is_recorded_of_every_kind_of_message() {
    let (_, samples) = VERSIONS[VERSIONS.len() - 1];
    let kinds = kinds();
    assert!(kinds.len() > 25, "only {kinds:?} were found");
    for kind in kinds {
        let is_of_it = |name: &str| {
            name.strip_prefix(&kind).is_some_and(|rest| matches!(rest.get(..1), None | Some(".")))
        };
        let is_there = samples.iter().any(|sample| is_of_it(sample.name));
        assert!(is_there, "nothing is recorded of {kind}: see golden/README.md");
    }
}

/// All that passes on links and with a shard, by the descriptors.
fn kinds() -> Vec<String> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = |file: &&prost_types::FileDescriptorProto| file.package() == "wasmverse.node.v1";
    let file = set.file.iter().find(ours).unwrap();
    let message = |name: &str| -> &DescriptorProto {
        file.message_type.iter().find(|message| message.name() == name).unwrap()
    };
    let mut kinds = Vec::new();
    for (kind, name) in [
        ("frame", "Frame"),
        ("frame.reply", "ReplyFrame"),
        ("part", "HandOverPart"),
        ("answer", "HandOverAnswer"),
    ] {
        let choices = message(name).field.iter().filter(|field| field.oneof_index.is_some());
        kinds.extend(choices.map(|field| format!("{kind}.{}", field.name())));
    }
    let actions: &EnumDescriptorProto =
        file.enum_type.iter().find(|it| it.name() == "Action").unwrap();
    let action = |name: &str| name.strip_prefix("ACTION_").unwrap().to_lowercase();
    kinds.extend(actions.value.iter().map(|it| format!("frame.call.{}", action(it.name()))));
    kinds.extend(["frame.hello.node", "frame.hello.gate", "frames"].map(str::to_owned));
    kinds
}

/// A number and a text in fields that nobody knows.
const UNKNOWN: [u8; 8] = [0xc0, 0x3e, 1, 0xca, 0x3e, 2, b'h', b'i'];

#[test]
fn fields_that_only_later_versions_know_are_ignored() {
    for (version, samples) in VERSIONS {
        for Sample { name, check, .. } in samples {
            println!("{version}/{name}");
            let bytes = read(version, name);
            check(&[&bytes[..], &UNKNOWN].concat());
            check(&[&UNKNOWN[..], &bytes].concat());
            if let Some(bytes) = within(&bytes) {
                check(&bytes);
            }
        }
    }
}

/// The same with unknown fields within the message that it holds first, if it holds one.
fn within(bytes: &[u8]) -> Option<Vec<u8>> {
    let (tag, mut rest) = bytes.split_first()?;
    if tag & 7 != 2 {
        return None;
    }
    let length = prost::decode_length_delimiter(&mut rest).ok()?;
    let (held, after) = rest.split_at_checked(length)?;
    let mut changed = vec![*tag];
    prost::encode_length_delimiter(length + UNKNOWN.len(), &mut changed).ok()?;
    Some([&changed[..], held, &UNKNOWN, after].concat())
}

#[test]
fn frames_of_kinds_that_only_later_versions_know_are_ignored() {
    let (version, _) = VERSIONS[0];
    let later = [0x9a, 6, 2, 8, 7];
    assert_eq!(Frame::decode(&later[..]).unwrap(), Frame { frame: None });
    let batch = read(version, "frames");
    let unknown = [&[0x0a, 5][..], &later].concat();
    let (before, with) = (Frames::decode(&batch[..]).unwrap(), [&unknown[..], &batch].concat());
    let with = Frames::decode(&with[..]).unwrap();
    assert_eq!(with.frames[0].frame, None);
    assert_eq!(with.frames[1..], before.frames, "the others are read");
}

#[test]
fn a_hello_of_another_protocol_is_refused_in_words_that_name_both() {
    for (version, _) in VERSIONS {
        for name in ["frame.hello.node", "frame.hello.gate"] {
            let frame = Frame::decode(&read(version, name)[..]).unwrap().frame;
            let Some(frame::Frame::Hello(theirs)) = frame else { panic!("{frame:?}") };
            let ours = Hello { id: "we".to_owned(), ..theirs.clone() };
            assert_eq!(
                convert::agree(&Hello { protocol: PROTOCOL, ..ours.clone() }, &theirs),
                Ok(())
            );
            let later = Hello { protocol: theirs.protocol + 41, ..ours };
            let told = convert::agree(&later, &theirs).unwrap_err();
            let (one, other) = (later.protocol.to_string(), theirs.protocol.to_string());
            for word in [&theirs.id, &format!("protocol {one}"), &format!("speaks {other}")] {
                assert!(told.message().contains(word.as_str()), "`{word}` is not in: {told}");
            }
        }
    }
}
