import Testing

@testable import LinuxSystem

@Suite(.timeLimit(.minutes(1))) struct AnnouncerTests {
  @Test func whoListensAnewHasMissedNothing() async {
    let announcer = Announcer<Int>()
    announcer.tell(1)
    let first = Task { [stream = announcer.listen { [1] }] in
      var heard: [Int] = []
      for await number in stream {
        heard.append(number)
        if heard.count == 2 { break }
      }
      return heard
    }
    announcer.tell(2)
    #expect(await first.value == [1, 2])
    // A reader whose task was cancelled takes nothing from the next one.
    let second = Task { [stream = announcer.listen { [1, 2] }] in
      for await _ in stream {}
    }
    second.cancel()
    await second.value
    announcer.tell(3)
    var third = announcer.listen { [1, 2, 3] }.makeAsyncIterator()
    announcer.tell(4)
    for number in 1...4 {
      let heard = await third.next()
      #expect(heard == number)
    }
  }

  @Test func nothingIsDroppedForASlowReader() async {
    let announcer = Announcer<Int>()
    let stream = announcer.listen { [] }
    for number in 0..<10_000 { announcer.tell(number) }
    var next = 0
    for await number in stream {
      #expect(number == next)
      next += 1
      if next == 10_000 { break }
    }
  }
}
