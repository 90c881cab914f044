import Testing

@testable import Node

@Suite struct MachineFactsTests {
  @Test func theDiskCountsBeforeItsFolderIsThere() {
    #expect(MachineFacts.read(dataDirectory: "/tmp/not/yet/there").storage > 0)
    #expect((-1000...1000).contains(QualityOfService.oomScoreAdjustmentMin))
  }
}
