import Glibc
import Synchronization

/// Progress as lines that stay, as buildx prints it into a file: `#5 [build 2/4] RUN make`, `#5 0.312 …`, `#5 CACHED`.
public final class PlainProgress: Sendable {
  private struct Vertex {
    var title: String
    var start: ContinuousClock.Instant
    var isShown = false
    /// Output that has no line end yet.
    var partial: [UInt8] = []
  }

  private struct State {
    var vertices: [Int: Vertex] = [:]
    var last: Int?
    var warnings: [String] = []
  }

  private let state = Mutex(State())
  private let write: @Sendable (String) -> Void

  public init(write: @escaping @Sendable (String) -> Void) { self.write = write }

  public func handle(_ event: BuildEvent) {
    // One event's lines together, whatever other tasks report meanwhile.
    state.withLock { state in
      let text = lines(for: event, &state)
      if !text.isEmpty { write(text) }
    }
  }

  /// What is to be said at the end.
  public var warnings: [String] { state.withLock { $0.warnings } }

  private func lines(for event: BuildEvent, _ state: inout State) -> String {
    var text = ""
    func header(_ id: Int, _ state: inout State) {
      guard state.last != id || state.vertices[id]?.isShown == false else { return }
      if state.last != nil, state.last != id { text += "\n" }
      if let vertex = state.vertices[id] { text += "#\(id) \(vertex.title)\n" }
      state.vertices[id]?.isShown = true
      state.last = id
    }
    switch event {
    case .started(let id, let title):
      state.vertices[id] = Vertex(title: title, start: .now)
      header(id, &state)
    case .cached(let id):
      header(id, &state)
      text += "#\(id) CACHED\n"
      state.vertices[id] = nil
    case .status(let id, let line):
      header(id, &state)
      text += "#\(id) \(line)\n"
    case .output(let id, _, let bytes):
      guard var vertex = state.vertices[id] else { break }
      header(id, &state)
      vertex.isShown = true
      let time = Self.seconds(vertex.start.duration(to: .now), digits: 3)
      vertex.partial += bytes
      while let end = vertex.partial.firstIndex(of: 0x0a) {
        text += "#\(id) \(time) \(Self.printable(vertex.partial[..<end]))\n"
        vertex.partial.removeFirst(end + 1)
      }
      // A line without an end is not kept for ever.
      if vertex.partial.count > 64 << 10 {
        text += "#\(id) \(time) \(Self.printable(vertex.partial[...]))\n"
        vertex.partial = []
      }
      state.vertices[id] = vertex
    case .finished(let id):
      header(id, &state)
      text += rest(of: id, state) + "#\(id) DONE \(duration(id, state))s\n"
      state.vertices[id] = nil
    case .canceled(let id):
      header(id, &state)
      text += rest(of: id, state) + "#\(id) CANCELED\n"
      state.vertices[id] = nil
    case .failed(let id, let message):
      header(id, &state)
      text += rest(of: id, state) + "#\(id) ERROR: \(message)\n"
      state.vertices[id] = nil
    case .warning(let line): state.warnings.append(line)
    }
    return text
  }

  private func rest(of id: Int, _ state: State) -> String {
    guard let vertex = state.vertices[id], !vertex.partial.isEmpty else { return "" }
    let time = Self.seconds(vertex.start.duration(to: .now), digits: 3)
    return "#\(id) \(time) \(Self.printable(vertex.partial[...]))\n"
  }

  private func duration(_ id: Int, _ state: State) -> String {
    state.vertices[id].map { Self.seconds($0.start.duration(to: .now), digits: 1) } ?? "0.0"
  }

  /// Seconds with so many digits behind the point.
  static func seconds(_ duration: Duration, digits: Int) -> String {
    let scale: Int64 = digits == 1 ? 10 : 1000
    let units =
      duration.components.seconds * scale + duration.components.attoseconds / (1_000_000_000_000_000_000 / scale)
    var fraction = String(units % scale)
    while fraction.utf8.count < digits { fraction = "0" + fraction }
    return "\(units / scale).\(fraction)"
  }

  /// A line without what moves a terminal's cursor: what stands before a carriage return was overwritten.
  static func printable(_ bytes: ArraySlice<UInt8>) -> String {
    var line = bytes
    if line.last == 0x0d { line = line.dropLast() }
    if let last = line.lastIndex(of: 0x0d) { line = line[(last + 1)...] }
    return String(decoding: line, as: UTF8.self)
  }
}
