import TestKit
import Testing

@testable import Content

@Suite struct GarbagePlanTests {
  private func plan(untagged: Int64? = 10, dangling: Int64 = 10) -> GarbagePlan {
    GarbagePlan(now: 100, untaggedGrace: untagged, danglingGrace: dangling)
  }

  private func manifest(
    _ id: Int64, age: Int64 = 50, subject: Int64? = nil, tagged: Bool = false, pinned: Bool = false,
    children: [Int64] = []
  ) -> GarbagePlan.Manifest {
    GarbagePlan.Manifest(
      id: id, touched: 100 - age, subject: subject, isTagged: tagged, isPinned: pinned, children: children)
  }

  @Test func keepsWhatIsNamed() {
    #expect(
      plan().garbage([manifest(1, tagged: true), manifest(2), manifest(3, age: 9), manifest(4, pinned: true)]) == [2])
    #expect(plan(untagged: nil).garbage([manifest(1), manifest(2)]) == [])
  }

  @Test func followsIndexes() {
    let manifests = [manifest(1, children: [2, 3]), manifest(2), manifest(3, children: [4]), manifest(4), manifest(5)]
    #expect(plan().garbage(manifests) == [1, 2, 3, 4, 5])
    #expect(plan().garbage([manifest(1, tagged: true, children: [2, 3, 9])] + manifests[1...]) == [5])
  }

  @Test func followsSubjects() {
    #expect(plan().garbage([manifest(1, tagged: true), manifest(2, subject: 1), manifest(3, subject: 2)]) == [])
    #expect(plan().garbage([manifest(1), manifest(2, subject: 1)]) == [1, 2])
    // It does not keep its subject, unless it is itself kept by a tag, and then not either.
    #expect(plan().garbage([manifest(1), manifest(2, subject: 1, tagged: true)]) == [1])
    // Its subject is not there: its grace counts.
    #expect(plan(untagged: nil).garbage([manifest(2, subject: 1), manifest(3, age: 9, subject: 1)]) == [2])
    // Its subject is there and untagged, which is kept.
    #expect(plan(untagged: nil).garbage([manifest(1), manifest(2, subject: 1)]) == [])
    // A circle of an index and what it is about keeps nothing.
    #expect(plan().garbage([manifest(1, subject: 2, children: [2]), manifest(2)]) == [1, 2])
  }

  /// The plan against the definition, over many random graphs.
  @Test func agreesWithItsDefinition() {
    for seed in 0..<2000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let count = Int64.random(in: 1...10, using: &random)
      let manifests = (1...count).map { id in
        manifest(
          id, age: .random(in: 0...20, using: &random),
          subject: Bool.random(using: &random) ? .random(in: 1...count + 2, using: &random) : nil,
          tagged: Int.random(in: 0..<5, using: &random) == 0, pinned: Int.random(in: 0..<12, using: &random) == 0,
          children: (0..<Int.random(in: 0...2, using: &random)).map { _ in .random(in: 1...count + 2, using: &random) })
      }
      let plan = plan(untagged: Bool.random(using: &random) ? 10 : nil)
      let ids = Set(manifests.map(\.id))
      var live = Set<Int64>()
      while true {
        let next = manifests.filter { manifest in
          if manifest.isTagged || manifest.isPinned { return true }
          if manifests.contains(where: { live.contains($0.id) && $0.children.contains(manifest.id) }) { return true }
          let young = 100 - manifest.touched < 10
          if let subject = manifest.subject {
            if live.contains(subject) { return true }
            return young
          }
          return plan.untaggedGrace == nil || young
        }
        if next.count == live.count { break }
        live = Set(next.map(\.id))
      }
      #expect(Set(plan.garbage(manifests)) == ids.subtracting(live), "seed \(seed)")
    }
  }
}
