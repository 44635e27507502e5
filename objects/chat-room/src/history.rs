//! What was said in a room: a log in keyed storage, so that a post costs the same in an old room as
//! in a new one.

use wasmverse_sdk::prelude::*;

use crate::schema_1::History;

/// What was said.
const SAID: Log<Message> = Log::new("said");
/// Messages that are kept; the earliest go first.
const LENGTH_MAX: u64 = 500_000;
/// Messages that are answered at once, in number and in bytes of JSON: a part of what a reply may be.
const ANSWER_LENGTH_MAX: u32 = 1000;
const ANSWER_BYTES_MAX: usize = 2 << 20;
/// What surrounds the texts of a message.
const ENVELOPE_BYTES: usize = 96;

/// Something that was said: the data of the event `message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Where.
    pub room: String,
    /// By whom.
    pub user: String,
    /// What, as it was written.
    pub text: String,
    /// When, in microseconds since 1970.
    pub at_micros: u64,
    /// Counts the messages of a room, from 1.
    pub seq: u64,
}

impl Message {
    fn bytes(&self) -> usize {
        let texts = [&self.room, &self.user, &self.text];
        ENVELOPE_BYTES + texts.map(|text| json_bytes(text)).iter().sum::<usize>()
    }
}

/// What a text takes as JSON, at most: a control character takes six bytes.
pub(crate) fn json_bytes(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    2 + escaped.sum::<usize>()
}

/// Which messages are asked for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// Those that come after this one; none: the latest.
    pub after_seq: Option<u64>,
    /// So many at most; none: 50. Fewer may come, if there are very many or very long ones.
    pub limit: Option<u64>,
}

/// Adds a message, and forgets the earliest if there are too many.
pub(crate) fn add(ctx: &Context, user: String, text: String) -> Result<Message> {
    let before = SAID.last(ctx)?;
    // Clocks may go back; what is said later is never shown as earlier.
    let latest_micros = SAID.get(ctx, before)?.map_or(0, |latest| latest.at_micros);
    let at_micros = ctx.now_micros().max(latest_micros);
    let message = Message { room: ctx.id().to_owned(), user, text, at_micros, seq: before + 1 };
    SAID.append(ctx, &message)?;
    SAID.keep_latest(ctx, LENGTH_MAX)?;
    Ok(message)
}

/// Moves what was said before there was a log into it, each message under its own number.
pub(crate) fn take_over(ctx: &Context, earlier: &History) -> Result<()> {
    let History { messages, last_seq } = earlier;
    // Most rooms bring nothing: they are not to read anything for it.
    if *last_seq == 0 || SAID.last(ctx)? > 0 {
        return Ok(());
    }
    let before = last_seq.saturating_sub(messages.len() as u64);
    SAID.fill(ctx, before + 1, messages)
}

/// The latest ones, the earliest first.
pub(crate) fn latest(ctx: &Context, limit: u64) -> Result<Vec<Message>> {
    let mut messages = entries(SAID.latest(ctx, length(limit))?);
    let mut bytes = 0;
    let fit = messages.iter().rev().take_while(|message| {
        bytes += message.bytes();
        bytes <= ANSWER_BYTES_MAX
    });
    let fit = fit.count();
    messages.drain(..messages.len() - fit);
    Ok(messages)
}

/// The first ones after that one.
pub(crate) fn after(ctx: &Context, seq: u64, limit: u64) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    let (mut last, mut bytes) = (seq, 0);
    let length = length(limit);
    while let Some(left) = length.checked_sub(size(&messages)).filter(|left| *left > 0) {
        let page = SAID.after(ctx, last, left)?;
        let Some((end, _)) = page.last() else { break };
        last = *end;
        for message in entries(page) {
            bytes += message.bytes();
            if bytes > ANSWER_BYTES_MAX {
                return Ok(messages);
            }
            messages.push(message);
        }
    }
    Ok(messages)
}

fn length(limit: u64) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX).min(ANSWER_LENGTH_MAX)
}

fn size(messages: &[Message]) -> u32 {
    u32::try_from(messages.len()).unwrap_or(u32::MAX)
}

fn entries(page: Vec<(u64, Message)>) -> Vec<Message> {
    page.into_iter().map(|(_, message)| message).collect()
}

#[cfg(test)]
mod tests {
    use wasmverse_sdk::TestContext;

    use super::*;

    fn ctx() -> TestContext {
        TestContext::new("ChatRoom", "r")
    }

    fn seqs(messages: &[Message]) -> Vec<u64> {
        messages.iter().map(|message| message.seq).collect()
    }

    #[test]
    fn the_latest_or_those_after_one_come_earliest_first() {
        let ctx = ctx();
        for n in 0..10 {
            add(&ctx, "a".into(), n.to_string()).unwrap();
        }
        assert_eq!(seqs(&latest(&ctx, 3).unwrap()), [8, 9, 10]);
        assert_eq!(seqs(&after(&ctx, 3, 2).unwrap()), [4, 5]);
        assert_eq!(seqs(&after(&ctx, 10, 2).unwrap()), [0; 0]);
        assert_eq!(latest(&ctx, 100).unwrap().len(), 10);
        assert_eq!(after(&ctx, 0, u64::MAX).unwrap().len(), 10);
        for none in [latest(&ctx, 0), after(&ctx, 0, 0)] {
            assert!(none.unwrap().is_empty());
        }
    }

    #[test]
    fn what_is_said_later_is_never_shown_as_earlier() {
        let early = ctx();
        early.pass(std::time::Duration::from_secs(60));
        let first = add(&early, "a".into(), "x".into()).unwrap();
        let back = ctx().after(&early);
        assert!(back.now_micros() < first.at_micros);
        assert_eq!(add(&back, "a".into(), "y".into()).unwrap().at_micros, first.at_micros);
    }

    #[test]
    fn an_answer_fits_into_a_reply_whatever_was_said() {
        let ctx = ctx();
        for _ in 0..300 {
            add(&ctx, "a".into(), "\0".repeat(4096)).unwrap();
        }
        for (messages, last) in
            [(latest(&ctx, 1000).unwrap(), 300), (after(&ctx, 100, 1000).unwrap(), 0)]
        {
            let json = serde_json::to_vec(&messages).unwrap();
            assert!((ANSWER_BYTES_MAX - 50_000..=ANSWER_BYTES_MAX).contains(&json.len()));
            assert!(last == 0 || messages.last().unwrap().seq == last);
            assert!(last != 0 || messages[0].seq == 101);
        }
    }
}
