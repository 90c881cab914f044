import Synchronization
import Testing

@testable import APIServer

@Suite struct IdentifierTests {
  @Test func numbersAreTakenManyAtATimeAndGivenOnce() {
    let fills = Mutex(0)
    var numbers = BufferedRandomNumbers { numbers in
      let fill = fills.withLock { fills in
        fills += 1
        return fills
      }
      for index in numbers.indices { numbers[index] = UInt64(fill * 1000 + index) }
    }
    let count = BufferedRandomNumbers.count
    var seen: Set<UInt64> = []
    for _ in 0..<3 * count { #expect(seen.insert(numbers.next()).inserted) }
    #expect(fills.withLock { $0 } == 3)
  }

  @Test func theSystemsNumbersDiffer() {
    let (first, second) = (IdentifierSource(), IdentifierSource())
    var seen: Set<String> = []
    for _ in 0..<1000 {
      #expect(seen.insert(first.uid()).inserted)
      #expect(seen.insert(second.uid()).inserted)
    }
  }
}
