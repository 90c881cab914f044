import Glibc
import LinuxSystem

/// What must be the same for two builds to share one run of a step: what its result depends on, and what else can make a
/// difference to whether and how it ends.
struct StepIdentity: Sendable, Hashable {
  /// Of all that may be known to others.
  let key: CacheKey
  /// What may be in nothing that is stored, not even as a digest: a proxy's password, an address with one. Compared, and
  /// never leaves the process.
  let confidential: [String]
  /// Whether builds of other processes count, too.
  private let isForAllProcesses: Bool

  /// - Parameters:
  ///   - ignoresCache: what is to be done again is shared only with what is to be done again as well.
  ///   - isForAllProcesses: `false` for what depends on a builder's own clients.
  init(
    _ key: CacheKey, ignoresCache: Bool, means: BuilderMeans, confidential: [String] = [],
    isForAllProcesses: Bool = true
  ) {
    var hasher = KeyHasher("shared-step/1")
    hasher.add("key", key.hex)
    hasher.add("ignores", ignoresCache)
    hasher.add("means", means.list)
    self.key = hasher.finish()
    self.confidential = confidential
    self.isForAllProcesses = isForAllProcesses
  }

  /// Under which builds of other processes find it; `nil` when they do not.
  var name: String? { isForAllProcesses && confidential.isEmpty ? key.hex : nil }
}

/// What a builder is to the steps that it runs, beside the request: its user and limits, namespaces, programs and places.
struct BuilderMeans: Sendable, Equatable {
  let list: [String]

  init(list: [String]) { self.list = list }

  init(_ configuration: ImageBuilder.Configuration, store: String) {
    var list = [
      configuration.version, store, configuration.runtimePath, configuration.cgroupRoot,
      configuration.resolverConfiguration, String(configuration.outputMax), String(geteuid()), String(getegid()),
    ]
    // What the engine hands on to a step, or a step lives in.
    for number in 0..<16 {
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(UInt32(number)), &limit)
      list.append("\(limit.rlim_cur):\(limit.rlim_max)")
    }
    let givable = CapabilitySet.givable
    list += Capabilities.standardNames(without: [], available: givable)
    for namespace in ["net", "mnt", "user", "cgroup"] {
      var name = [CChar](repeating: 0, count: 64)
      let count = readlink("/proc/self/ns/\(namespace)", &name, name.count)
      list.append(String(decoding: name.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    self.list = list
  }
}

/// What a step came to, for all builds that share it.
struct MadeStep: Sendable, Equatable {
  var record: CacheRecord
  /// The cache knew it.
  var isCached: Bool
  /// Keys that it is noted under.
  var keys: [CacheKey]
  /// What was fetched for it.
  var materials: [Material] = []
  /// The cache mounts that it used: where their files are, by name.
  var cacheMounts: [String: String] = [:]
  /// The build that carried it out; empty for one of another process.
  var build: String
}
