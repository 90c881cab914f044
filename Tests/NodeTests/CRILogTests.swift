import ControllerKit
import Testing
import Wire

@testable import Node

private let time = "2026-01-02T03:04:05.123456789Z"

private func format(
  _ text: String, timestamps: Bool = false, since: Timestamp? = nil, limit: Int64? = nil, step: Int = .max
) -> String {
  var formatter = CRILogFormatter(timestamps: timestamps, since: since, limitBytes: limit)
  let bytes = Array(text.utf8)
  var output: [UInt8] = []
  var at = 0
  while at < bytes.count {
    let end = min(bytes.count, at + min(step, bytes.count))
    output += formatter.feed(bytes[at..<end])
    at = end
  }
  return String(decoding: output, as: UTF8.self)
}

@Suite("CRI log")
struct CRILogTests {
  @Test("whole lines, parts of lines, empty lines, in pieces of any size", arguments: [1, 2, 3, 7, 64, Int.max])
  func lines(step: Int) {
    let log = "\(time) stdout F one\n\(time) stderr P tw\n\(time) stderr F o\n\(time) stdout F \n\(time) stdout F end\n"
    #expect(format(log, step: step) == "one\ntwo\n\nend\n")
    #expect(format(log, timestamps: true, step: step) == "\(time) one\n\(time) two\n\(time) \n\(time) end\n")
  }

  @Test("torn and foreign lines are passed over")
  func torn() {
    #expect(format("garbage\n\(time) stdout F ok\n\(time) stdou\n\(time) stdlog F x\n\(time) stdout X y\n") == "ok\n")
    #expect(format("\(time) stdout F not ended") == "")
  }

  @Test("limitBytes cuts")
  func limit() {
    let log = "\(time) stdout F 12345\n\(time) stdout F 67890\n"
    #expect(format(log, limit: 8) == "12345\n67")
    #expect(format(log, limit: 0) == "")
  }

  @Test("since")
  func since() {
    let log = "2026-01-02T03:04:05.9Z stdout F old\n2026-01-02T03:04:06.1Z stdout F new\n"
    #expect(format(log, since: Timestamp(rfc3339: "2026-01-02T03:04:06Z")) == "new\n")
  }

  @Test("tail finds the beginning of the last lines, read backwards in blocks of any size")
  func tail() {
    let lines = (0..<20).map { index in
      index % 5 == 3 ? "\(time) stdout P a\(index)\n\(time) stdout F b\n" : "\(time) stdout F line \(index)\n"
    }
    let bytes = Array(lines.joined().utf8)
    for count in [0, 1, 2, 5, 19, 20, 21, 100] {
      let expected = lines.suffix(count).joined()
      for block in [1, 3, 17, 100, 10_000] {
        var finder = TailFinder(lines: Int64(count), size: Int64(bytes.count))
        var end = bytes.count
        while finder.result == nil, end > 0 {
          let start = max(0, end - block)
          finder.feedBackwards(bytes[start..<end])
          end = start
        }
        let text = String(decoding: bytes[Int(finder.finish())...], as: UTF8.self)
        #expect(text == expected, "count \(count) block \(block)")
      }
    }
  }

  @Test("any bytes: no trap, and the same output however they are cut")
  func fuzz() {
    var random = SeededRandom(seed: 42)
    let alphabet = Array("\(time) stdout F P \n\n  stderr FP:x é".utf8)
    for _ in 0..<300 {
      let bytes = (0..<Int.random(in: 0...400, using: &random)).map { _ in
        Bool.random(using: &random)
          ? alphabet.randomElement(using: &random) ?? 0 : UInt8.random(in: 0...255, using: &random)
      }
      var whole = CRILogFormatter(timestamps: true)
      let expected = whole.feed(bytes[...])
      var cut = CRILogFormatter(timestamps: true)
      var output: [UInt8] = []
      for index in bytes.indices { output += cut.feed(bytes[index...index]) }
      #expect(output == expected)
      for lines in [0, 1, 3] as [Int64] {
        var finder = TailFinder(lines: lines, size: Int64(bytes.count))
        finder.feedBackwards(bytes[...])
        #expect((0...Int64(bytes.count)).contains(finder.finish()))
      }
    }
  }
}

@Suite("CRI log: times")
struct CRILogTimeTests {
  @Test("times are told in UTC, whatever the writer's zone is")
  func zones() {
    for (written, told) in [
      ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456789Z"),
      ("2026-01-02T03:04:05.123456789+00:00", "2026-01-02T03:04:05.123456789Z"),
      ("2026-01-02T03:04:05.123456789-00:00", "2026-01-02T03:04:05.123456789Z"),
      ("2026-01-02T01:04:05.000000001+02:00", "2026-01-01T23:04:05.000000001Z"),
      ("2026-01-02T03:04:05-03:30", "2026-01-02T06:34:05Z"),
      ("2026-13-02T03:04:05+00:00", "2026-13-02T03:04:05+00:00"),
    ] {
      #expect(format("\(written) stdout F a\n", timestamps: true) == "\(told) a\n")
    }
  }
}
