import Wire

/// Mounts volumes that lie elsewhere (CSI's node service, local disks): once for the node where it wants that, and from
/// there for each pod.
///
/// Each call is idempotent, also after one that was cut off anywhere and beside what is there already: whoever asks knows
/// what was begun, and not always what came of it. It returns within a deadline; what may block runs on the node's lanes,
/// where a call that hangs keeps later ones of its lane from running beside it. One that failed may still have an effect,
/// and is undone like one that did not.
///
/// Undoing takes the handle and the place alone, since neither the pod nor its claim may be there by then.
protocol VolumeDriver: Sendable {
  /// As records have it. It never changes.
  var name: String { get }
  /// Whether a volume is staged before it is published.
  var needsStage: Bool { get }

  /// Brings a volume to this node (CSI's `NodeStageVolume`).
  /// - Parameter stage: an empty folder at first.
  func stage(_ volume: DriverVolume, at stage: String) async throws

  /// Mounts it for one pod (`NodePublishVolume`).
  /// - Parameters:
  ///   - stage: where it was staged, if it was.
  ///   - target: not there at first; in a folder that is for it alone.
  func publish(_ volume: DriverVolume, from stage: String?, at target: String) async throws

  /// Takes `target` away (`NodeUnpublishVolume`).
  func unpublish(_ handle: String, at target: String) async throws

  /// Undoes the stage (`NodeUnstageVolume`), and leaves an empty folder or none.
  func unstage(_ handle: String, at stage: String) async throws
}

/// A volume as its driver knows it.
struct DriverVolume: Sendable, Equatable {
  var driver: String
  /// CSI's `volume_id`, say.
  var handle: String
  /// What mounting takes, such as the type of the file system. Not recorded: it is known anew whenever it is used, and
  /// may have secrets in it.
  var parameters: JSON = [:]
}

/// Where the node keeps a stage: `stages/DRIVER/HANDLE`. The folder is the record: it is made before the volume is staged and
/// removed after that was undone, and its name says all that undoing takes, so that nothing in it can be damaged.
struct StageKey: Sendable, Hashable {
  var driver: String
  var handle: String

  /// `nil` when the handle is longer than a name can be.
  init?(_ volume: DriverVolume) {
    driver = volume.driver
    handle = volume.handle
    guard !Self.encode(driver).isEmpty, !Self.encode(handle).isEmpty, Self.encode(driver).utf8.count <= 255,
      Self.encode(handle).utf8.count <= 255
    else { return nil }
  }

  /// `nil` when the names are none that a stage has.
  init?(driverFolder: String, folder: String) {
    guard let driver = Self.decode(driverFolder), let handle = Self.decode(folder) else { return nil }
    self.driver = driver
    self.handle = handle
  }

  var path: String { "\(Self.encode(driver))/\(Self.encode(handle))" }

  private static let digits = Array("0123456789abcdef".utf8)

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }

  /// Letters, digits, `-` and `_` as they are, any other byte as `%` and two digits.
  private static func encode(_ text: String) -> String {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if isPlain(byte) {
        bytes.append(byte)
      } else {
        bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func decode(_ name: String) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(name.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap({ digits.firstIndex(of: $0) }),
        let low = rest.popFirst().flatMap({ digits.firstIndex(of: $0) })
      else { return nil }
      bytes.append(UInt8(high << 4 | low))
    }
    // One handle has one folder.
    guard let text = String(validating: bytes, as: UTF8.self), !text.isEmpty, encode(text) == name else { return nil }
    return text
  }
}
