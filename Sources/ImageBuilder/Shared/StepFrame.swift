import OCI
import Wire

/// What one builder tells another about a step that it carries out. On the wire: a byte that says what it is, the length
/// of what follows in four bytes, the highest first, and that.
enum StepFrame: Sendable, Equatable {
  case note(StepNote)
  case made(MadeStep)
  case failed(BuildError.Code, message: String, output: [String])
  /// It has ended without a result that counts for others.
  case lost
  /// Too many ask.
  case busy
  /// Nothing has happened, and the builder is there.
  case alive

  /// A message has its command in it, which is a part of a Dockerfile.
  static let sizeMax = 8 << 20
  /// Longer notes go in several frames.
  static let noteMax = 64 << 10

  private enum Kind: UInt8 { case status, standard, errors, made, failed, lost, busy, alive }

  /// How a step ended, for others than the builder that carried it out.
  init(_ result: Result<MadeStep, BuildError>, sharing isShared: (BuildError) -> Bool) {
    switch result {
    case .success(let made): self = .made(made)
    case .failure(let error):
      self = isShared(error) ? .failed(error.code, message: error.message, output: error.output) : .lost
    }
  }

  var bytes: [UInt8] {
    switch self {
    case .note(.status(let text)): Self.frame(.status, Array(text.utf8.prefix(Self.noteMax)))
    case .note(.output(let stream, let bytes)):
      stride(from: 0, to: bytes.count, by: Self.noteMax).flatMap { start in
        Self.frame(
          stream == .stdout ? .standard : .errors, Array(bytes[start..<min(bytes.count, start + Self.noteMax)]))
      }
    case .made(let made): Self.frame(.made, Self.json(made).serialized())
    case .failed(let code, let message, let output):
      Self.frame(
        .failed,
        ([
          "code": .string(code.rawValue), "message": .string(message), "output": .array(output.map { .string($0) }),
        ] as JSON).serialized())
    case .lost: Self.frame(.lost, [])
    case .busy: Self.frame(.busy, [])
    case .alive: Self.frame(.alive, [])
    }
  }

  private static func frame(_ kind: Kind, _ content: [UInt8]) -> [UInt8] {
    // Nothing that is longer is read: whoever waits does the step himself.
    guard content.count <= sizeMax else { return frame(.lost, []) }
    let count = content.count
    return [kind.rawValue] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } + content
  }

  /// `nil` for what is no frame.
  fileprivate init?(kind: UInt8, _ content: [UInt8]) {
    switch Kind(rawValue: kind) {
    case .status: self = .note(.status(String(decoding: content, as: UTF8.self)))
    case .standard: self = .note(.output(.stdout, content))
    case .errors: self = .note(.output(.stderr, content))
    case .made:
      guard let json = try? JSON.parse(content), let made = Self.made(json) else { return nil }
      self = .made(made)
    case .failed:
      guard let json = try? JSON.parse(content),
        let code = json["code"]?.string.flatMap({ BuildError.Code(rawValue: $0) }),
        let message = json["message"]?.string, let output = json["output"]?.array
      else { return nil }
      self = .failed(code, message: message, output: output.compactMap(\.string))
    case .lost: self = .lost
    case .busy: self = .busy
    case .alive: self = .alive
    case nil: return nil
    }
  }

  /// Without what was fetched: such steps are not shared with other processes.
  private static func json(_ made: MadeStep) -> JSON {
    var contents = RemoteCache.Contents()
    contents.records = ["step": made.record]
    return [
      "record": contents.json, "cached": .bool(made.isCached), "keys": .array(made.keys.map { .string($0.hex) }),
      "mounts": .array(
        made.cacheMounts.sorted { $0.key < $1.key }.map { ["name": .string($0.key), "path": .string($0.value)] }),
    ]
  }

  private static func made(_ json: JSON) -> MadeStep? {
    guard let contents = json["record"].flatMap({ RemoteCache.Contents($0) }), let record = contents.records["step"],
      let isCached = json["cached"]?.bool, let keys = json["keys"]?.array, let mounts = json["mounts"]?.array
    else { return nil }
    var made = MadeStep(record: record, isCached: isCached, keys: [], build: "")
    for key in keys {
      guard let hex = key.string, Digest("sha256:\(hex)") != nil else { return nil }
      made.keys.append(CacheKey(hex: hex))
    }
    for mount in mounts {
      guard let name = mount["name"]?.string, let path = mount["path"]?.string else { return nil }
      made.cacheMounts[name] = path
    }
    return made
  }
}

/// Puts frames together from what comes. Pure.
struct StepFrameReader: Sendable {
  private var pending: [UInt8] = []

  /// - Returns: the frames that are whole now; `nil` when what came is none.
  mutating func add(_ bytes: [UInt8]) -> [StepFrame]? {
    pending += bytes
    var frames: [StepFrame] = []
    var start = 0
    while pending.count - start >= 5 {
      let count = pending[(start + 1)..<(start + 5)].reduce(0) { $0 << 8 | Int($1) }
      guard count <= StepFrame.sizeMax else { return nil }
      guard pending.count - start - 5 >= count else { break }
      let content = Array(pending[(start + 5)..<(start + 5 + count)])
      guard let frame = StepFrame(kind: pending[start], content) else { return nil }
      frames.append(frame)
      start += 5 + count
    }
    pending.removeFirst(start)
    return frames
  }
}
