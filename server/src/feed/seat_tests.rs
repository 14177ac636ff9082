//! Seats by themselves.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use uuid::Uuid;

fn at(number: i64) -> Position {
    Position { xid: number, seq: number }
}

fn event(number: i64) -> FeedRow {
    FeedRow {
        id: Uuid::nil(),
        xid: number,
        seq: number,
        created_at: time(0),
        event_type: "appointment.booked".to_owned(),
        kind: ResourceKind::Appointment,
        resource: Uuid::nil(),
        account: None,
        patient: None,
        doctor: None,
        actor: None,
        stand_in: false,
    }
}

fn time(seconds: i64) -> Time {
    Time::from_unix_micros(seconds * 1_000_000).unwrap()
}

fn push(seat: &Seat, number: i64) {
    seat.push(&Arc::new(event(number)), time(0));
}

/// A seat of a stream that has joined, and has everything up to 10.
fn joined() -> Seat {
    let seat = Seat::new(SessionId(Uuid::nil()), Vec::new(), at(10));
    seat.join(at(10));
    seat
}

/// What the stream does next, when the hub stands at this position.
fn next(seat: &Seat, hub: i64) -> (char, i64) {
    match seat.next(at(hub), Instant::now(), time(0)) {
        Next::Send(position, Some(_)) => ('e', position.xid),
        Next::Send(position, None) => ('c', position.xid),
        Next::Read => ('r', seat.positions().1.xid),
        Next::Wait => ('w', seat.positions().0.xid),
        Next::End(_) => ('x', 0),
    }
}

fn found(events: &[i64], position: i64, is_end: bool) -> Found {
    let events = events.iter().map(|number| event(*number)).collect();
    Found { events, position: at(position), is_end }
}

#[test]
fn an_idle_stream_moves_with_the_hub_and_no_further_than_what_it_saw() {
    let seat = joined();
    assert_eq!(next(&seat, 12), ('w', 12));
    // The hub was asked, and then pushed and moved on: the token must not pass the event.
    push(&seat, 15);
    assert_eq!(next(&seat, 12), ('e', 15));
    assert_eq!(next(&seat, 14), ('w', 15), "never back");
}

#[test]
fn who_joins_reads_up_to_the_hub_and_sees_nothing_twice() {
    let seat = Seat::new(SessionId(Uuid::nil()), Vec::new(), at(10));
    assert_eq!(next(&seat, 20), ('r', 10));
    push(&seat, 11);
    seat.take(found(&[11], 12, false), Instant::now());
    assert_eq!(next(&seat, 20), ('e', 12), "behind the last one all was looked at");
    seat.knock();
    assert_eq!(next(&seat, 20), ('w', 12), "not past what is not read");
    seat.join(at(20));
    push(&seat, 21);
    push(&seat, 24);
    push(&seat, 30);
    assert_eq!(next(&seat, 20), ('r', 12), "first what lies before the hub");
    // The read reaches beyond the hub's place.
    seat.take(found(&[18, 21], 25, false), Instant::now());
    assert_eq!(next(&seat, 30), ('e', 18));
    assert_eq!(next(&seat, 30), ('e', 25));
    assert_eq!(next(&seat, 30), ('e', 30), "21 was read; 24 was judged anew, and not shown");
    assert_eq!(next(&seat, 30), ('w', 30));
}

#[test]
fn nothing_left_before_the_hub_is_as_good_as_read() {
    let seat = Seat::new(SessionId(Uuid::nil()), Vec::new(), at(10));
    seat.join(at(20));
    assert_eq!(next(&seat, 20), ('r', 10));
    seat.take(found(&[], 10, true), Instant::now());
    assert_eq!(next(&seat, 20), ('w', 20));
}

#[test]
fn a_full_queue_is_dropped_and_read_again() {
    let seat = joined();
    let most = i64::try_from(QUEUE).unwrap();
    for number in 0..=most {
        push(&seat, 11 + number);
    }
    push(&seat, 12 + most);
    assert_eq!(seat.state().queue.capacity(), 0);
    assert_eq!(next(&seat, 12 + most), ('r', 10));
    // Meanwhile a checkpoint says where it is, not where the hub is.
    seat.tick(Instant::now() + CHECKPOINT, time(0));
    assert_eq!(next(&seat, 12 + most), ('c', 10));
}

#[test]
fn a_checkpoint_comes_in_time_and_not_before_what_waits() {
    let seat = joined();
    let begun = Instant::now();
    seat.tick(begun + Duration::from_secs(14), time(0));
    assert_eq!(next(&seat, 10), ('w', 10));
    seat.tick(begun + Duration::from_secs(15), time(0));
    push(&seat, 11);
    assert_eq!(next(&seat, 11), ('e', 11));
    assert_eq!(next(&seat, 12), ('w', 12), "the event was as good as one");
    seat.tick(begun + Duration::from_secs(30), time(0));
    assert_eq!(next(&seat, 13), ('c', 13));
    assert_eq!(next(&seat, 13), ('w', 13));
}

#[test]
fn only_who_takes_nothing_although_there_is_something_is_given_up() {
    let seat = joined();
    let later = |seconds| seat.tick(Instant::now(), time(seconds));
    later(1_000);
    assert_eq!(next(&seat, 10), ('w', 10), "nothing waits");
    push(&seat, 11);
    push(&seat, 12);
    later(59);
    assert_eq!(next(&seat, 12), ('e', 11), "it is slow, but takes");
    let taken = seat.next(at(12), Instant::now(), time(59));
    assert!(matches!(taken, Next::Send(_, Some(_))));
    later(1_000);
    assert_eq!(next(&seat, 12), ('w', 12));
    push(&seat, 13);
    later(60);
    assert_eq!((seat.ended(), seat.state().queue.capacity()), (Some(Reason::FeedReaderStalled), 0));
    assert_eq!(next(&seat, 13), ('x', 0));
}

#[test]
fn while_the_server_reads_nobody_is_given_up() {
    let seat = Seat::new(SessionId(Uuid::nil()), Vec::new(), at(10));
    seat.join(at(20));
    assert_eq!(next(&seat, 20), ('r', 10));
    push(&seat, 21);
    seat.tick(Instant::now(), time(1_000));
    assert_eq!(seat.ended(), None, "it waits for us");
    seat.take(found(&[18], 20, false), Instant::now());
    seat.found(time(1_000));
    seat.tick(Instant::now(), time(1_059));
    assert_eq!(seat.ended(), None);
    seat.tick(Instant::now(), time(1_060));
    assert_eq!(seat.ended(), Some(Reason::FeedReaderStalled));
}

#[test]
fn what_was_read_too_long_ago_is_judged_anew() {
    let seat = Seat::new(SessionId(Uuid::nil()), Vec::new(), at(10));
    let long_ago = Instant::now() - FRESH - Duration::from_millis(1);
    seat.take(found(&[11, 12], 15, false), long_ago);
    assert_eq!(next(&seat, 15), ('r', 10));
}

#[test]
fn the_first_end_counts_and_frees_all() {
    let seat = joined();
    push(&seat, 11);
    seat.end(Reason::Unauthenticated);
    seat.end(Reason::FeedReaderStalled);
    push(&seat, 12);
    seat.take(found(&[12], 12, false), Instant::now());
    assert_eq!(seat.ended(), Some(Reason::Unauthenticated));
    let state = seat.state();
    assert!(state.queue.is_empty() && state.read.is_empty());
}
