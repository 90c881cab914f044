import OCI

/// What unfinished uploads may take together. Nobody may ever need their bytes.
public struct UploadLimits: Sendable, Equatable {
  /// How many there may be in the store, and in one repository.
  public var countMax = Int.max
  public var repositoryCountMax = Int.max
  /// How many bytes they may have in the store, and in one repository.
  public var bytesMax = Int64.max
  public var repositoryBytesMax = Int64.max
  /// How long one waits for its next piece before it is removed.
  public var idleMax: Duration = .seconds(24 * 3600)

  public init() {}
}

/// The unfinished uploads of a store, counted. Pure.
struct UploadLedger {
  struct Entry: Equatable {
    /// What the file's name says of the repository: the same for all of its uploads.
    var owner: String
    var bytes: Int64
    /// When it was last used, in microseconds since 1970.
    var touched: Int64
    /// Its bytes are about to be, or are already, those of a repository's blob.
    var isStored = false
  }

  struct Usage: Equatable {
    var count = 0
    var bytes: Int64 = 0
    /// Of them, those of uploads that are being stored.
    var storedBytes: Int64 = 0
  }

  private(set) var entries: [String: Entry] = [:]
  private(set) var total = Usage()
  private var owners: [String: Usage] = [:]

  func usage(of owner: String) -> Usage { owners[owner] ?? Usage() }

  /// Counts one more upload.
  mutating func begin(_ id: String, of owner: String, now: Int64, _ limits: UploadLimits) throws(OCIError) {
    let own = usage(of: owner)
    guard own.count < limits.repositoryCountMax else {
      throw Self.tooMany("the repository has \(own.count) unfinished uploads, and may have no more")
    }
    guard total.count < limits.countMax else {
      throw Self.tooMany("there are \(total.count) unfinished uploads, and may be no more")
    }
    put(id, Entry(owner: owner, bytes: 0, touched: now))
  }

  /// Counts bytes before they are written. An upload of another process is counted from here on.
  mutating func grow(
    _ id: String, of owner: String, by bytes: Int64, now: Int64, _ limits: UploadLimits
  ) throws(OCIError) {
    let own = usage(of: owner)
    guard bytes <= limits.repositoryBytesMax, own.bytes <= limits.repositoryBytesMax - bytes else {
      throw Self.tooMany(
        "the repository's unfinished uploads have \(own.bytes) bytes, and may have \(limits.repositoryBytesMax)")
    }
    guard bytes <= limits.bytesMax, total.bytes <= limits.bytesMax - bytes else {
      throw Self.tooMany("unfinished uploads have \(total.bytes) bytes, and may have \(limits.bytesMax)")
    }
    var entry = entries[id] ?? Entry(owner: owner, bytes: 0, touched: now)
    entry.bytes += bytes
    entry.touched = now
    put(id, entry)
  }

  /// Takes back what was counted and then not written.
  mutating func shrink(_ id: String, by bytes: Int64) {
    guard var entry = entries[id] else { return }
    entry.bytes -= bytes
    put(id, entry)
  }

  /// Says whether the repository has the upload's bytes from now on, so that they are not counted twice.
  mutating func setStored(_ id: String, _ isStored: Bool) {
    guard var entry = entries[id] else { return }
    entry.isStored = isStored
    put(id, entry)
  }

  /// Somebody has looked at it.
  mutating func touch(_ id: String, now: Int64) { entries[id]?.touched = now }

  mutating func put(_ id: String, _ entry: Entry) {
    remove(id)
    entries[id] = entry
    total.add(entry, 1)
    owners[entry.owner, default: Usage()].add(entry, 1)
  }

  mutating func remove(_ id: String) {
    guard let entry = entries.removeValue(forKey: id) else { return }
    total.add(entry, -1)
    var own = usage(of: entry.owner)
    own.add(entry, -1)
    owners[entry.owner] = own.count == 0 ? nil : own
  }

  /// Bytes of the uploads into the repositories that `isMeant` holds for, without what is being stored.
  func bytes(where isMeant: (_ owner: String) -> Bool) -> Int64 {
    owners.reduce(0) { isMeant($1.key) ? $0 + $1.value.bytes - $1.value.storedBytes : $0 }
  }

  /// The upload that has to go so that `owner` can begin another one: the longest idle one without a byte, of the owner
  /// when its number is the limit. `nil` when all have bytes.
  func dispensable(for owner: String, _ limits: UploadLimits) -> (id: String, owner: String)? {
    let isOwnLimit = usage(of: owner).count >= limits.repositoryCountMax
    let found = entries.lazy.filter { $0.value.bytes == 0 && (!isOwnLimit || $0.value.owner == owner) }
      .min { $0.value.touched < $1.value.touched }
    return found.map { ($0.key, $0.value.owner) }
  }

  func hasIdle(before limit: Int64) -> Bool { entries.values.contains { $0.touched < limit } }

  private static func tooMany(_ what: String) -> OCIError {
    OCIError(.tooManyUploads, "\(what); finish or cancel some, or wait until they have expired")
  }
}

extension UploadLedger.Usage {
  fileprivate mutating func add(_ entry: UploadLedger.Entry, _ sign: Int) {
    count += sign
    bytes += Int64(sign) * entry.bytes
    if entry.isStored { storedBytes += Int64(sign) * entry.bytes }
  }
}
