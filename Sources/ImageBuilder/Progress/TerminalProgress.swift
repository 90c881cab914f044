import Glibc
import Synchronization

/// Progress as a block of lines at the bottom of a terminal, as buildx shows it:
///
///     [+] Building 2.1s (4/6)
///      => CACHED [build 2/4] RUN make                                       0.0s
///      => [build 3/4] RUN make test                                         1.9s
///      => => ok 12 tests
///
/// Drawn again when something happens, at most every 80 ms, and on every tick that the owner sends.
public final class TerminalProgress: Sendable {
  private struct Vertex {
    var id: Int
    var title: String
    var start: ContinuousClock.Instant
    var end: ContinuousClock.Instant?
    var mark = ""
    var isFailed = false
    /// The last lines of output and status.
    var lines: [String] = []
    var partial: [UInt8] = []
  }

  private struct State {
    var vertices: [Vertex] = []
    var drawn = 0
    var lastDraw: ContinuousClock.Instant?
    var warnings: [String] = []
    var isClosed = false
  }

  private let state = Mutex(State())
  private let start = ContinuousClock.now
  private let hasColours: Bool
  private let size: @Sendable () -> (columns: Int, rows: Int)
  private let write: @Sendable (String) -> Void

  /// - Parameter size: of the terminal, asked for at every drawing.
  public init(
    hasColours: Bool, size: @escaping @Sendable () -> (columns: Int, rows: Int),
    write: @escaping @Sendable (String) -> Void
  ) {
    self.hasColours = hasColours
    self.size = size
    self.write = write
  }

  public var warnings: [String] { state.withLock { $0.warnings } }

  public func handle(_ event: BuildEvent) {
    state.withLock { state in
      apply(event, &state)
      draw(&state, isForced: false)
    }
  }

  /// Draws again, for the clock.
  public func tick() { state.withLock { draw(&$0, isForced: true) } }

  /// Draws for the last time: what was done stays on the screen.
  public func close() {
    state.withLock { state in
      draw(&state, isForced: true, isLast: true)
      state.isClosed = true
    }
  }

  private func apply(_ event: BuildEvent, _ state: inout State) {
    func change(_ id: Int, _ body: (inout Vertex) -> Void) {
      if let at = state.vertices.lastIndex(where: { $0.id == id }) { body(&state.vertices[at]) }
    }
    func addLine(_ line: String, to vertex: inout Vertex) {
      vertex.lines.append(line)
      if vertex.lines.count > 6 { vertex.lines.removeFirst() }
    }
    switch event {
    case .started(let id, let title): state.vertices.append(Vertex(id: id, title: title, start: .now))
    case .cached(let id):
      change(id) {
        $0.mark = "CACHED "
        $0.end = $0.start
      }
    case .status(let id, let text): change(id) { addLine("=> \(text)", to: &$0) }
    case .output(let id, _, let bytes):
      change(id) { vertex in
        vertex.partial += bytes
        while let end = vertex.partial.firstIndex(of: 0x0a) {
          addLine("# \(PlainProgress.printable(vertex.partial[..<end]))", to: &vertex)
          vertex.partial.removeFirst(end + 1)
        }
        if vertex.partial.count > 4096 { vertex.partial.removeFirst(vertex.partial.count - 4096) }
      }
    case .finished(let id): change(id) { $0.end = .now }
    case .canceled(let id):
      change(id) {
        $0.mark = "CANCELED "
        $0.end = .now
      }
    case .failed(let id, _):
      change(id) {
        $0.mark = "ERROR "
        $0.end = .now
        $0.isFailed = true
      }
    case .warning(let text): state.warnings.append(text)
    }
  }

  private func draw(_ state: inout State, isForced: Bool, isLast: Bool = false) {
    guard !state.isClosed else { return }
    let now = ContinuousClock.now
    if !isForced, let last = state.lastDraw, now - last < .milliseconds(80) { return }
    state.lastDraw = now
    let (columns, rows) = size()
    let width = max(40, columns)
    let done = state.vertices.count { $0.end != nil }
    var lines: [(text: String, colour: String)] = []
    for vertex in state.vertices {
      let time = PlainProgress.seconds(vertex.start.duration(to: vertex.end ?? now), digits: 1) + "s"
      let room = width - time.count - 5
      let title = Self.fit(" => \(vertex.mark)\(vertex.title)", room)
      let colour = vertex.isFailed ? "31" : vertex.end != nil ? "34" : ""
      lines.append((title + String(repeating: " ", count: max(1, width - title.count - time.count - 1)) + time, colour))
      guard vertex.end == nil, !isLast else { continue }
      for line in vertex.lines { lines.append((Self.fit(" => \(line)", width - 1), "2")) }
    }
    // More than the screen has would scroll away and could not be drawn over.
    let shown = max(1, rows - 2)
    if lines.count > shown, !isLast { lines.removeFirst(lines.count - shown) }
    let seconds = PlainProgress.seconds(start.duration(to: now), digits: 1)
    let isDone = isLast && !state.vertices.contains { $0.isFailed }
    var text = state.drawn > 0 ? "\u{1B}[\(state.drawn)A" : ""
    text += "\r\u{1B}[J[+] Building \(seconds)s (\(done)/\(state.vertices.count))\(isDone ? " FINISHED" : "")\n"
    for line in lines {
      text += hasColours && !line.colour.isEmpty ? "\u{1B}[\(line.colour)m\(line.text)\u{1B}[0m\n" : line.text + "\n"
    }
    state.drawn = lines.count + 1
    write(text)
  }

  private static func fit(_ text: String, _ width: Int) -> String {
    let plain = String(
      String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : $0 }))
    return plain.count <= width ? plain : String(plain.prefix(max(0, width - 1))) + "…"
  }
}
