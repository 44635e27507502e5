//! What is known of each object: the books are told what callers and listeners were told, and read
//! the objects after each restart.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    listeners::{Heard, members},
    load::{Asked, Deed, Effect, Target, targets},
    report::Counts,
    site::{Fate, Site, number},
    sum::{Sum, agree},
    talk::{Message, Talk},
    verdict::{Found, Verdict, Violation},
};

/// Messages that are read at once.
const PAGE: usize = 500;

/// What is known of all objects.
pub(crate) struct Books {
    pub(crate) targets: Vec<Target>,
    books: Vec<Book>,
    pub(crate) counts: Counts,
}

enum Book {
    Sum(Sum),
    Talk(Talk),
}

/// What an object holds, as it is read.
enum Holds {
    One(i64),
    /// In its state and in its storage.
    Two(i64, i64),
    /// Those after the last one that was known, and who is there.
    Messages(u64, Vec<Message>, Value),
}

impl Books {
    pub(crate) fn new() -> Self {
        let targets = targets();
        let book = |target: &Target| match target.deed {
            Deed::Post => Book::Talk(Talk::default()),
            Deed::CountTwice | Deed::Add | Deed::Deposit => Book::Sum(Sum::default()),
        };
        let books = targets.iter().map(book).collect();
        Self { targets, books, counts: Counts::default() }
    }

    /// All rooms.
    pub(crate) fn rooms(&self) -> Vec<String> {
        let rooms = self.targets.iter().filter(|target| target.deed == Deed::Post);
        rooms.map(|target| target.object.clone()).collect()
    }

    /// A call has ended.
    pub(crate) fn note(&mut self, asked: Asked) -> Verdict {
        let Asked { target, effect, fate, answer } = asked;
        *match fate {
            Fate::Acknowledged => &mut self.counts.acknowledged,
            Fate::Unknown => &mut self.counts.unknown,
            Fate::Refused => &mut self.counts.refused,
        } += 1;
        let verdict = match (&mut self.books[target], effect, fate) {
            (Book::Sum(sum), Effect::Amount(amount), Fate::Acknowledged) => {
                sum.acknowledged(amount, number(&answer))
            }
            (Book::Talk(talk), Effect::Text(text), Fate::Acknowledged) => {
                answers(&text, &answer).and_then(|()| talk.acknowledged(message(&answer)))
            }
            (Book::Sum(sum), Effect::Amount(amount), Fate::Unknown) => {
                sum.unknown(amount);
                Ok(())
            }
            (Book::Talk(talk), Effect::Text(text), Fate::Unknown) => {
                talk.unknown(text);
                Ok(())
            }
            (_, _, Fate::Refused) => refused(&answer),
            (Book::Sum(_), Effect::Text(_), _) | (Book::Talk(_), Effect::Amount(_), _) => {
                unreachable!("each deed has its own effects")
            }
        };
        verdict.map_err(|found| found.about(&self.targets[target].object))
    }

    /// A post to this room was acknowledged.
    pub(crate) fn say(&mut self, object: &str, message: &Message) -> Verdict {
        self.talks(object).try_for_each(|talk| talk.acknowledged(message.clone()))
    }

    /// A push was seen.
    pub(crate) fn hear(&mut self, heard: Heard) -> Verdict {
        self.counts.pushes += 1;
        let Heard { listener, object, message } = heard;
        let verdict =
            self.talks(&object).try_for_each(|talk| talk.pushed(listener, message.clone()));
        verdict.map_err(|found| found.about(&object))
    }

    fn talks(&mut self, object: &str) -> impl Iterator<Item = &mut Talk> {
        let all = self.targets.iter().zip(&mut self.books);
        all.filter(move |(target, _)| target.object == object).filter_map(|(_, book)| match book {
            Book::Talk(talk) => Some(talk),
            Book::Sum(_) => None,
        })
    }

    /// Reads all objects, while nobody changes them.
    pub(crate) async fn check(&mut self, site: &Site) -> Verdict {
        let after = self.books.iter().map(Book::last).collect::<Vec<_>>();
        self.compare(site, after).await
    }

    /// The same with all messages from the first one on.
    pub(crate) async fn check_all(&mut self, site: &Site) -> Verdict {
        self.compare(site, vec![0; self.books.len()]).await
    }

    async fn compare(&mut self, site: &Site, after: Vec<u64>) -> Verdict {
        let all = self.targets.iter().zip(after);
        let held = join_all(all.map(|(target, after)| holds(site, target, after))).await;
        for ((target, book), holds) in self.targets.iter().zip(&mut self.books).zip(held) {
            book.compare(holds).map_err(|found| found.about(&target.object))?;
        }
        Ok(())
    }
}

impl Book {
    fn last(&self) -> u64 {
        match self {
            Self::Sum(_) => 0,
            Self::Talk(talk) => talk.last(),
        }
    }

    fn compare(&mut self, holds: Holds) -> Verdict {
        match (self, holds) {
            (Self::Sum(sum), Holds::One(value)) => sum.held(value),
            (Self::Sum(sum), Holds::Two(state, storage)) => {
                agree(state, storage)?;
                sum.held(state)
            }
            (Self::Talk(talk), Holds::Messages(after, messages, present)) => {
                if present != members() {
                    let told = format!("{present} are there, not {}", members());
                    return Err(Found::new(Violation::AcknowledgedIsGone, told));
                }
                talk.held(after, &messages)
            }
            (Self::Sum(_), Holds::Messages(..)) | (Self::Talk(_), _) => {
                unreachable!("each deed has its own effects")
            }
        }
    }
}

async fn holds(site: &Site, target: &Target, after: u64) -> Holds {
    let object = &target.object;
    match target.deed {
        Deed::Add => Holds::One(number(&site.read(object, "value", Value::Null).await)),
        Deed::Deposit => Holds::One(number(&site.read(object, "balance", Value::Null).await)),
        Deed::CountTwice => {
            let (state, storage) = site.counted_twice(object).await;
            Holds::Two(state, storage)
        }
        Deed::Post => {
            let (mut messages, mut last) = (Vec::new(), after);
            loop {
                let range = json!({ "after_seq": last, "limit": PAGE });
                let page = site.read(object, "recent_messages", range).await;
                let page: Vec<_> = page.as_array().unwrap().iter().map(message).collect();
                let length = page.len();
                last = page.last().map_or(last, |(seq, _)| *seq);
                messages.extend(page);
                if length < PAGE {
                    break;
                }
            }
            let present = site.read(object, "members", Value::Null).await;
            Holds::Messages(after, messages, present)
        }
    }
}

/// A message as a room tells it.
pub(crate) fn message(value: &Value) -> Message {
    let text = value["text"].as_str().unwrap_or_else(|| panic!("{value} is no message"));
    (value["seq"].as_u64().unwrap(), text.to_owned())
}

/// What a post is answered by is the message itself.
fn answers(text: &str, answer: &Value) -> Verdict {
    let found = || Found::new(Violation::Unasked, format!("{text} was answered by {answer}"));
    if answer["text"] == text { Ok(()) } else { Err(found()) }
}

/// A node that comes or goes may refuse a call, an object never.
fn refused(answer: &Value) -> Verdict {
    let error = &answer["error"];
    let violation = match (error["code"].as_str(), error["application"]["code"].as_str()) {
        (Some("unavailable" | "overloaded" | "timeout"), _) => return Ok(()),
        // Whoever posts has joined.
        (_, Some("not-a-member")) => Violation::AcknowledgedIsGone,
        _ => Violation::Failed,
    };
    Err(Found::new(violation, answer.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(answer: Value) -> Option<Violation> {
        let mut books = Books::new();
        let target = books.targets.iter().position(|target| target.deed == Deed::Post).unwrap();
        let effect = Effect::Text("a".to_owned());
        let verdict = books.note(Asked { target, effect, fate: Fate::Refused, answer });
        assert_eq!(books.counts.refused, 1);
        verdict.err().map(|found| found.violation)
    }

    #[test]
    fn a_node_may_refuse_a_post_and_a_room_that_was_joined_may_not() {
        for code in ["unavailable", "overloaded", "timeout"] {
            assert_eq!(note(json!({ "error": { "code": code } })), None);
        }
        let of_room =
            |code: &str| json!({ "code": "application", "application": { "code": code } });
        let stranger = json!({ "error": of_room("not-a-member") });
        assert_eq!(note(stranger), Some(Violation::AcknowledgedIsGone));
        assert_eq!(note(json!({ "error": of_room("other") })), Some(Violation::Failed));
        assert_eq!(note(json!({ "error": { "code": "internal" } })), Some(Violation::Failed));
    }
}
