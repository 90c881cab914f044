import Testing

@testable import Node

/// U14: what fails because a program needs a moment before it listens is no news.
@Suite("ProbeSchedule")
struct ProbeScheduleTests {
  /// The ages at which tries begin and whether their failures count, each of which takes no time.
  private func tries(_ schedule: ProbeSchedule, from first: Duration = .zero, count: Int) -> [(Duration, Bool)] {
    var schedule = schedule
    var age = first
    return (0..<count).map { _ in
      let begin = age
      let next = schedule.tried(isSuccess: false, age: begin, took: .zero)
      age += next.wait
      return (begin, next.counts)
    }
  }

  @Test(
    "readiness and startup ask often in the first period, and its failures count for nothing",
    arguments: [
      ProbeKind.readiness, .startup,
    ])
  func early(kind: ProbeKind) {
    let seen = tries(ProbeSchedule(kind: kind, period: .seconds(1), asksNetwork: true), count: 7)
    #expect(
      seen.map(\.0) == [
        .zero, .milliseconds(100), .milliseconds(300), .milliseconds(700), .seconds(1), .seconds(2), .seconds(3),
      ])
    #expect(seen.map(\.1) == [false, false, false, false, true, true, true])
  }

  @Test("liveness is asked once in the first period, for nothing")
  func liveness() {
    let seen = tries(ProbeSchedule(kind: .liveness, period: .seconds(10), asksNetwork: true), count: 3)
    #expect(seen.map(\.0) == [.zero, .seconds(10), .seconds(20)])
    #expect(seen.map(\.1) == [false, true, true])
  }

  @Test("a command's failure counts from the beginning")
  func command() {
    let seen = tries(ProbeSchedule(kind: .readiness, period: .seconds(10), asksNetwork: false), count: 2)
    #expect(seen.map(\.0) == [.zero, .seconds(10)])
    #expect(seen.map(\.1) == [true, true])
  }

  @Test("after initialDelaySeconds beyond one period, or of a container that an earlier server started, all count")
  func old() {
    let seen = tries(
      ProbeSchedule(kind: .readiness, period: .seconds(2), asksNetwork: true), from: .seconds(15), count: 2)
    #expect(seen.map(\.0) == [.seconds(15), .seconds(17)])
    #expect(seen.map(\.1) == [true, true])
  }

  @Test("a success ends the quiet time")
  func success() {
    var schedule = ProbeSchedule(kind: .liveness, period: .seconds(10), asksNetwork: true)
    let first = schedule.tried(isSuccess: true, age: .zero, took: .seconds(1))
    #expect(first.counts && first.wait == .seconds(9))
    #expect(schedule.tried(isSuccess: false, age: .seconds(3), took: .zero).counts)
  }

  @Test("a try that takes long is followed by a wait all the same")
  func slow() {
    var schedule = ProbeSchedule(kind: .readiness, period: .seconds(1), asksNetwork: true)
    let first = schedule.tried(isSuccess: false, age: .zero, took: .seconds(5))
    #expect(!first.counts && first.wait == .milliseconds(100))
    let second = schedule.tried(isSuccess: false, age: .seconds(5), took: .seconds(5))
    #expect(second.counts && second.wait == .zero)
  }
}
