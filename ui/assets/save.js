(text) => {
  // The mark at the start makes spreadsheet programs read the file as UTF-8.
  const url = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "worklist.csv";
  link.click();
  URL.revokeObjectURL(url);
}
