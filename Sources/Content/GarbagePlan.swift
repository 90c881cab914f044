/// Decides which manifests of one repository go to the trash. Pure.
///
/// A manifest lives when it has a tag, is pinned, belongs to an index that lives, or is about an image that lives
/// (`subject`); and, when none of it holds, as long as its grace lasts. All of it within one repository: in another one
/// the same manifest has its own life.
struct GarbagePlan: Sendable {
  struct Manifest: Sendable, Equatable {
    var id: Int64
    /// When it was put or lost its last tag, in microseconds since 1970.
    var touched: Int64
    /// The row of its subject, which need not be in the repository.
    var subject: Int64?
    var isTagged = false
    var isPinned = false
    /// Members of an index that are in the repository or not.
    var children: [Int64] = []
  }

  var now: Int64
  /// Microseconds; `nil`: those without a tag stay for ever.
  var untaggedGrace: Int64?
  /// For what is about an image that is not there: it may have been pushed first.
  var danglingGrace: Int64

  /// The manifests that nothing keeps, in the order in which they were given.
  func garbage(_ manifests: [Manifest]) -> [Int64] {
    var positions: [Int64: Int] = [:]
    var referrers: [Int64: [Int]] = [:]
    for (position, manifest) in manifests.enumerated() {
      positions[manifest.id] = position
      if let subject = manifest.subject { referrers[subject, default: []].append(position) }
    }
    var isLive = [Bool](repeating: false, count: manifests.count)
    var open: [Int] = []
    func reach(_ position: Int) {
      guard !isLive[position] else { return }
      isLive[position] = true
      open.append(position)
    }
    for (position, manifest) in manifests.enumerated() where isRoot(manifest, isKnown: { positions[$0] != nil }) {
      reach(position)
    }
    while let position = open.popLast() {
      for child in manifests[position].children {
        if let child = positions[child] { reach(child) }
      }
      for referrer in referrers[manifests[position].id] ?? [] { reach(referrer) }
    }
    return manifests.indices.filter { !isLive[$0] }.map { manifests[$0].id }
  }

  private func isRoot(_ manifest: Manifest, isKnown: (Int64) -> Bool) -> Bool {
    if manifest.isTagged || manifest.isPinned { return true }
    let age = now - manifest.touched
    if let subject = manifest.subject, untaggedGrace == nil || !isKnown(subject) {
      // Its subject decides, when it comes or as long as it stays. What has just been put has its time in any case.
      return age < danglingGrace
    }
    guard let untaggedGrace else { return true }
    return age < untaggedGrace
  }
}
