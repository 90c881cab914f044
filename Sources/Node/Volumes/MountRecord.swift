import LinuxSystem
import Wire

/// What is kept on disk of a driver's volume in a pod: what has to be undone.
///
/// The kernel's list of mounts does not tell it: not which driver mounted what, not what it has beyond the mount, not
/// whether it was done with it.
struct MountRecord: Sendable, Equatable {
  enum Phase: String, Sendable {
    /// It may be mounted, or in part.
    case begun
    case published
    /// It may still be mounted, or in part, and is not mounted again before it is gone.
    case undoing
  }

  /// The pod's uid.
  var uid: String
  /// The volume's name in the pod.
  var volume: String
  var driver: String
  var handle: String
  var phase: Phase
  /// The boot that it was mounted in: no mount outlives it.
  var bootID: String

  func with(_ phase: Phase) -> MountRecord {
    var record = self
    record.phase = phase
    return record
  }

  static let sizeMax = 64 << 10

  /// A line with the checksum of what follows, and JSON.
  var bytes: [UInt8] {
    let json: JSON = [
      "uid": .string(uid), "volume": .string(volume), "driver": .string(driver), "handle": .string(handle),
      "phase": .string(phase.rawValue), "bootID": .string(bootID),
    ]
    let body = json.serialized()
    return Array("\(String(Checksum(body).value, radix: 16))\n".utf8) + body
  }

  init(uid: String, volume: String, driver: String, handle: String, phase: Phase, bootID: String) {
    self.uid = uid
    self.volume = volume
    self.driver = driver
    self.handle = handle
    self.phase = phase
    self.bootID = bootID
  }

  /// `nil` for what is cut or changed, and for the record of another volume.
  init?(bytes: [UInt8], uid: String, volume: String) {
    guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let body = Array(bytes[(end + 1)...])
    guard bytes[..<end].elementsEqual(String(Checksum(body).value, radix: 16).utf8),
      let json = try? JSON.parse(body), json["uid"]?.string == uid, json["volume"]?.string == volume,
      let driver = json["driver"]?.string, let handle = json["handle"]?.string,
      let phase = json["phase"]?.string.flatMap(Phase.init(rawValue:)), let bootID = json["bootID"]?.string
    else { return nil }
    self.init(uid: uid, volume: volume, driver: driver, handle: handle, phase: phase, bootID: bootID)
  }
}

/// How far a driver's volume of a pod is, and what comes next. A value: whoever owns it does the steps and tells of each
/// that is done.
///
/// It goes on from whatever is found, since the server may have been killed before, in or after any step. A record stands
/// before the first step that it tells of and goes after the last one is undone.
struct MountState: Sendable, Equatable {
  enum Found: Sendable, Equatable {
    /// The volume has no folder: nothing was begun.
    case absent
    /// It has a folder and no record that can be read: anything may be mounted there, by whichever driver.
    case lost
    case recorded(MountRecord)
  }

  enum Step: Sendable, Equatable {
    /// Writes the record, and makes it durable.
    case record(MountRecord)
    case stage
    case publish
    case unpublish(driver: String, handle: String)
    /// Unmounts what the kernel has at the place: the driver is not known.
    case clear
    /// Removes the place and its record.
    case forget
  }

  private(set) var found: Found
  /// Whether the kernel has a mount at the target.
  private(set) var isMounted: Bool
  private var isStaged = false
  private var isPublished = false
  private var isUndone = false

  init(_ found: Found, isMounted: Bool) {
    self.found = found
    self.isMounted = isMounted
  }

  /// - Parameter goal: what the record will be in the end; `nil` for none.
  /// - Returns: `nil` when that is so.
  func next(toward goal: MountRecord?) -> Step? {
    guard let goal else { return undoing() }
    precondition(goal.phase == .published, "a goal is where all is done")
    switch found {
    case .absent, .lost: return .record(goal.with(.begun))
    case .recorded(let record):
      guard record.driver == goal.driver, record.handle == goal.handle, record.phase != .undoing else {
        return undoing()
      }
      // Both have to say so: the record may be an old one, and somebody else may have unmounted it.
      if record == goal, isMounted { return nil }
      guard record == goal.with(.begun) else { return .record(goal.with(.begun)) }
      if !isStaged { return .stage }
      return isPublished ? .record(goal) : .publish
    }
  }

  private func undoing() -> Step? {
    switch found {
    case .absent: return nil
    case .lost: return isUndone ? .forget : .clear
    case .recorded(let record):
      guard record.phase == .undoing else { return .record(record.with(.undoing)) }
      return isUndone ? .forget : .unpublish(driver: record.driver, handle: record.handle)
    }
  }

  /// A step has been done.
  mutating func did(_ step: Step) {
    switch step {
    case .record(let record):
      found = .recorded(record)
      (isStaged, isPublished, isUndone) = (false, false, false)
    case .stage: isStaged = true
    case .publish:
      isPublished = true
      isMounted = true
    case .unpublish, .clear:
      isUndone = true
      isMounted = false
    case .forget:
      found = .absent
      isUndone = false
    }
  }
}
