import OCI
import Wire

/// Decides which images go when the disk runs full (kubelet's `image_gc_manager.go`). Pure.
enum ImageCollection {
  /// Percent of the file system in use.
  static func usedPercent(_ usage: FileSystemUsage) -> Int {
    guard usage.total > 0 else { return 0 }
    return 100 - Int(usage.available * 100 / usage.total)
  }

  /// How many bytes must become free; `nil` below the high threshold.
  static func bytesToFree(_ usage: FileSystemUsage, _ policy: ImageCollectionPolicy) -> Int64? {
    guard policy.highThresholdPercent < 100, usedPercent(usage) >= policy.highThresholdPercent else { return nil }
    let wanted = usage.total / 100 * Int64(100 - policy.lowThresholdPercent)
    return max(0, wanted - usage.available)
  }

  /// Names that may go, the longest unused first, and of those last used at the same time the older first.
  ///
  /// - Parameters:
  ///   - pulled: what the node pulled itself; nothing else is ever removed.
  ///   - current: what each name leads to now. A name that leads elsewhere was imported or tagged by hand.
  static func candidates(
    _ pulled: [ImageUses.Pulled], current: [String: Digest], inUse: Set<Digest>, now: Timestamp,
    _ policy: ImageCollectionPolicy
  ) -> [ImageUses.Pulled] {
    pulled.filter { image in
      current[image.name] == image.target && !inUse.contains(image.digest)
        && now.since(image.pulledAt) >= policy.minimumAge
    }.sorted {
      ($0.lastUsedAt, $0.pulledAt, $0.name) < ($1.lastUsedAt, $1.pulledAt, $1.name)
    }
  }
}
