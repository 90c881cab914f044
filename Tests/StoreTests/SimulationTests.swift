import TestKit
import Testing

@testable import Store

/// Random commits, in groups, against a simple model: a dictionary and the list of all events.
struct SimulationTests {
  struct Model {
    var values: [String: (text: String, revision: Int64, created: Int64)] = [:]
    var revision: Int64 = 0
    /// The state after each revision.
    var states: [[String: String]] = [[:]]
    var events: [String] = []

    mutating func apply(_ operations: [Step]) -> String {
      var copy = self
      var answers: [String] = []
      for step in operations {
        let current = copy.values[step.key]
        switch step.precondition {
        case .none: break
        case .absent: if current != nil { return "exists" }
        case .revision(let revision): if current?.revision != revision { return "conflict" }
        }
        if step.text == nil, current == nil { return "notFound" }
        copy.revision += 1
        let text = "\(step.text ?? "gone")@\(copy.revision)"
        let sign = step.text == nil ? "-" : current == nil ? "+" : "~"
        copy.values[step.key] =
          step.text == nil ? nil : (text, copy.revision, current?.created ?? copy.revision)
        copy.events.append("\(sign)\(step.key)=\(text)")
        copy.states.append(copy.values.mapValues(\.text))
        answers.append(text)
      }
      self = copy
      return answers.joined(separator: ",")
    }
  }

  struct Step {
    var key: String
    /// `nil` deletes.
    var text: String?
    var precondition: TextStore.Precondition
  }

  @Test(arguments: [11, 12, 13, 14] as [UInt64], Keeper.allCases)
  func theStoreIsTheModel(seed: UInt64, keeper: Keeper) async throws {
    let place = Place(keeper)
    var generator = SeededGenerator(seed: seed)
    var store = try place.open()
    var model = Model()
    var recorder = Recorder()
    var watchedFrom = 0
    _ = try store.watch(prefix: "", after: 0, deliver: recorder.record)
    for round in 0..<120 {
      // A group: submitted without waiting in between, answered in order.
      var expected: [String] = []
      let answers = AnswerRecorder()
      for _ in 0..<Int.random(in: 1...12, using: &generator) {
        let steps = (0..<Int.random(in: 1...3, using: &generator)).map { _ in
          let key = "k/\(Int.random(in: 0..<12, using: &generator))"
          let precondition: TextStore.Precondition =
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: .absent
            case 1: .revision(model.values[key]?.revision ?? 1)
            default: .none
            }
          let isDelete = Int.random(in: 0..<3, using: &generator) == 0
          return Step(key: key, text: isDelete ? nil : "r\(round)", precondition: precondition)
        }
        expected.append(model.apply(steps))
        store.commit(
          steps.map { step in
            step.text.map { put(step.key, $0, step.precondition) } ?? delete(step.key, step.precondition)
          }, completion: answers.record)
      }
      _ = try? await store.commit([delete("not there")])
      await settle(store)
      #expect(answers.all == expected, "seed \(seed) round \(round)")
      #expect(store.revision == model.revision, "seed \(seed) round \(round)")

      let revision = Int64.random(in: store.oldestRevision...model.revision, using: &generator)
      let old = try store.list(prefix: "k/", at: revision).entries
      #expect(
        old.map(\.text) == model.states[Int(revision)].sorted { $0.key < $1.key }.map(\.value),
        "seed \(seed) round \(round) at \(revision)")
      var paged: [String] = []
      var after: String?
      repeat {
        let page = try store.list(prefix: "k/", after: after, limit: 3, at: revision)
        paged += page.entries.map(\.text)
        after = page.remaining == nil ? nil : page.entries.last?.key
      } while after != nil
      #expect(paged == old.map(\.text), "seed \(seed) round \(round) pages at \(revision)")
      #expect(recorder.texts == Array(model.events[watchedFrom...]), "seed \(seed) round \(round)")

      if round % 30 == 29 {
        store.close()
        store = try place.open()
        recorder = Recorder()
        watchedFrom = model.events.count
        _ = try store.watch(prefix: "", after: model.revision, deliver: recorder.record)
      }
    }
    store.close()
  }
}
