import Glibc
import KubeTypes
import LinuxSystem
import Synchronization
import Testing
import Wire

@testable import Store

typealias TextStore = Store
typealias Operation = TextStore.Operation

/// A new folder below /tmp that is removed with the object.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/apus-store-XXXXXX".utf8CString)
    path = String(cString: mkdtemp(&template)!)
  }

  deinit { try? Directory.removeTree(path) }

  static func list(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }
}

func readFile(_ path: String) -> [UInt8] {
  let file = open(path, O_RDONLY)
  precondition(file >= 0, path)
  defer { close(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while case let count = read(file, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
  return bytes
}

func writeFile(_ path: String, _ bytes: [UInt8]) {
  let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
  precondition(file >= 0 && write(file, bytes, bytes.count) == bytes.count, path)
  close(file)
}

let emptyHeader = ObjectHeader(.object([:]))

/// The revision is spliced into the value: `"text@REVISION"`.
func openStore(
  _ path: String, _ options: StoreOptions = .init(), expected: TextStore.Expectation = .any,
  verify: @escaping @Sendable ([UInt8]) throws -> Void = { _ in }
) throws(StoreError) -> TextStore {
  try TextStore.open(
    directory: path, options: options, expected: expected, verify: verify, header: textHeader)
}

@Sendable func textHeader(_ bytes: [UInt8]) throws -> ObjectHeader {
  guard let at = bytes.lastIndex(of: UInt8(ascii: "@")),
    let revision = Int64(String(decoding: bytes[(at + 1)...], as: UTF8.self))
  else { throw StoreError.invalid("no revision") }
  var header = emptyHeader
  header.resourceVersion = revision
  return header
}

/// Whoever keeps a store has to keep the same contract: its tests run with each.
enum Keeper: CaseIterable, Sendable, CustomTestStringConvertible {
  case sqlite
  case memory
  /// One that runs, when `APUS_TEST_ETCD` says where: `http://127.0.0.1:2379`. Each place is a prefix of its own there.
  case etcd

  static let endpoints = getenv("APUS_TEST_ETCD").map { String(cString: $0) }
  static var allCases: [Keeper] { endpoints == nil ? [.sqlite, .memory] : [.sqlite, .memory, .etcd] }

  var testDescription: String { "\(self)" }
}

/// A place of a keeper, where stores are opened one after the other.
final class Place: Sendable {
  private let keeper: Keeper
  private let folder = TemporaryFolder()
  private let disk = MemoryDisk()

  init(_ keeper: Keeper) { self.keeper = keeper }

  func open(_ options: StoreOptions = .init()) throws(StoreError) -> TextStore {
    switch keeper {
    case .sqlite: return try openStore(folder.path, options)
    case .memory: return try TextStore.open(disk, options: options)
    case .etcd:
      let etcd = try EtcdOptions(endpoints: Keeper.endpoints ?? "", prefix: "\(folder.path)/")
      // Of the pool, which has others.
      return try blocking { () async throws(StoreError) in
        try await TextStore.open(
          etcd: etcd, options: options, name: "tests", time: SystemClock(), header: textHeader, waiting: { _ in },
          lost: { fatalError($0) })
      }
    }
  }
}

/// Waits until the watches have been told of everything.
func settle(_ store: TextStore) async {
  while store.deliveredRevision < store.revision { await Task.yield() }
}

func put(_ key: String, _ text: String, _ precondition: TextStore.Precondition = .none) -> Operation {
  let value = Array((text + "@").utf8)
  return .put(key, value: value, revisionAt: value.count, header: emptyHeader, precondition: precondition)
}

func delete(_ key: String, _ precondition: TextStore.Precondition = .none) -> Operation {
  .delete(key, finalValue: Array("gone@".utf8), revisionAt: 5, header: emptyHeader, precondition: precondition)
}

extension TextStore.Entry {
  var text: String { String(decoding: value, as: UTF8.self) }
}

/// What a watch has been told, and a way to look at it.
final class Recorder: Sendable {
  struct Seen {
    var events: [TextStore.Event] = []
    var ends: [String] = []
  }
  let seen = Mutex(Seen())

  func record(_ signal: TextStore.WatchSignal) {
    seen.withLock { seen in
      switch signal {
      case .events(let events): seen.events += events
      case .closed: seen.ends.append("closed")
      }
    }
  }

  var texts: [String] {
    seen.withLock { seen in
      seen.events.map { event in
        switch event.kind {
        case .put(created: true): "+\(event.entry.key)=\(event.entry.text)"
        case .put(created: false): "~\(event.entry.key)=\(event.entry.text)"
        case .delete: "-\(event.entry.key)=\(event.entry.text)"
        }
      }
    }
  }
  var ends: [String] { seen.withLock { $0.ends } }
}

/// Answers of commits as short texts, in the order in which they came.
final class AnswerRecorder: Sendable {
  private let answers = Mutex<[String]>([])
  var all: [String] { answers.withLock { $0 } }

  func record(_ result: Result<[TextStore.Entry?], StoreError>) {
    let answer =
      switch result {
      case .success(let entries): entries.map { $0?.text ?? "none" }.joined(separator: ",")
      case .failure(.exists): "exists"
      case .failure(.conflict): "conflict"
      case .failure(.notFound): "notFound"
      case .failure(let error): "\(error)"
      }
    answers.withLock { $0.append(answer) }
  }
}
